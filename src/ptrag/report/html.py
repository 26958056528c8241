"""Pages from templates: everything they show stands inside them, and they load nothing."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ptrag.report.numbers import counted, listed, number

HERE = Path(__file__).parent


def page(template: str, content: dict[str, Any], script: str = "report.js") -> str:
    """Return a page.

    Parameters
    ----------
    template
        File in ``templates``.
    content
        What it names, apart from ``css`` and ``js``.
    script
        What runs on it.
    """
    inside = {
        name: Markup((HERE / file).read_text(encoding="utf-8"))
        for name, file in (("css", "report.css"), ("js", script))
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
