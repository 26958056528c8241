"""Pages from templates: everything they show stands inside them, and they load nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ptrag.report.numbers import counted, listed, number

HERE = Path(__file__).parent


def page(
    content: dict[str, Any],
    template: str = "report.html.j2",
    scripts: Sequence[str] = ("report.js", "pairs.js"),
) -> str:
    """Return a page, with style and scripts inside.

    Parameters
    ----------
    content
        What the template names, apart from ``css`` and ``js``.
    template
        File in ``templates``.
    scripts
        What runs on the page.
    """
    inside = {
        "css": Markup((HERE / "report.css").read_text(encoding="utf-8")),
        "js": Markup("".join((HERE / file).read_text(encoding="utf-8") for file in scripts)),
    }
    return _environment().get_template(template).render(content | inside)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, counted=counted, listed=listed)
    return environment
