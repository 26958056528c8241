"""Pages from templates: everything they show stands inside them, and they load nothing."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ptrag.report.numbers import counted, listed, number

HERE = Path(__file__).parent
REPEATED = 4  # times that a style occurs in figures before it is a class


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
    return _with_classes(_environment().get_template(template).render(content | inside))


def _with_classes(html: str) -> str:
    """Give figures classes for the styles that they repeat: a fourth of a page of many figures."""
    figures = re.compile(r"<svg role=.*?</svg>", re.S)
    styles = re.compile(r' style="([^"]*)"')
    counted = Counter(style for figure in figures.findall(html) for style in styles.findall(figure))
    classes = {
        style: f"s{i}" for i, (style, n) in enumerate(counted.most_common()) if n >= REPEATED
    }

    def classed(hit: re.Match) -> str:
        return f' class="{classes[hit[1]]}"' if hit[1] in classes else hit[0]

    html = figures.sub(lambda figure: styles.sub(classed, figure[0]), html)
    rules = "".join(f".{name}{{{style}}}\n" for style, name in classes.items())
    return html.replace("</style>", rules + "</style>", 1)


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
