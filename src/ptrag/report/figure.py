"""From a matplotlib figure to inline SVG that follows the page's colours.

Drawn colours stand for roles: every role's hex value is replaced by a CSS
variable, so that one SVG reads well on light and on dark paper. The output is
a function of the drawn content alone (fixed ids, no date).
"""

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b2128", "#5c6874", "#dfe4e9", "#fefefd"

# Colour-blind safe on white, after Paul Tol's "muted" and Okabe & Ito; report.css holds a
# lighter variant of each for dark paper.
COLOURS = (
    "#c1440e", "#0b6fb3", "#117a53", "#8a3c99", "#b07b00", "#1f9db5",
    "#a3334f", "#4a4fb5", "#6b7a12", "#c46a9a", "#2f6d7a", "#8a5a3c",
)  # fmt: skip
NEUTRALS = ("#7b8794", "#4f5a66", "#9a8f7d", "#a6afb8")

DPI = 110  # of what is drawn as an image
TOP = 0.27  # inches above the axes, for the title

VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{colour: f"var(--arm-{i})" for i, colour in enumerate(COLOURS)},
    **{colour: f"var(--neutral-{i})" for i, colour in enumerate(NEUTRALS)},
}

SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ptrag",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Look:
    """How one arm is drawn in every plot of the report."""

    colour: str
    marker: str = "o"
    hollow: bool = False
    dashes: str = "-"

    @property
    def face(self) -> str:
        """Marker fill: paper for the hollow ones."""
        return PAPER if self.hollow else self.colour

    @property
    def css(self) -> str:
        """The colour as CSS."""
        return VARIABLES.get(self.colour, self.colour)


@contextmanager
def style():
    """Matplotlib settings under which the report's figures are drawn and saved."""
    with matplotlib.rc_context(SETTINGS):
        yield


def panel(
    width: float, height: float, left: float = 0.68, bottom: float = 0.5, right: float = 0.12
) -> tuple[Figure, Axes]:
    """Return a figure of ``width`` × ``height`` inches with one set of axes.

    The margins are given, in inches: the reader's fonts are not those that
    matplotlib could measure, and measuring costs more than drawing.
    """
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + TOP) / height)
    )
    return figure, axes


def text_width(text: str, size: float = SETTINGS["font.size"]) -> float:
    """Return the inches that ``text`` of ``size`` points takes at most, about."""
    return max((len(line) for line in text.split("\n")), default=0) * size * 0.6 / 72


def to_svg(figure: Figure, alt: str, name: str) -> Markup:
    """Return ``figure`` as an inline ``<svg>``.

    Parameters
    ----------
    figure
        Drawn inside :func:`style`.
    alt
        What the figure shows, for those who do not see it.
    name
        Unique on the page; prefixes the ids inside the SVG.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # its <style> would hold for the whole page, and the fonts are the page's
    text = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(r"font-family: [^;\"]+;? ?", "", text)
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    text = _without_bare_groups(_own_ids(text, name))
    text = re.sub(r"#[0-9a-f]{6}\b", lambda hit: VARIABLES.get(hit[0], hit[0]), text)
    text = re.sub(r"<[^>]+>", _short_numbers, text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    view = re.search(r'viewBox="([^"]+)"', text)[1]
    width = float(view.split()[2])
    head = (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="{view}" '
        f'style="width:{width * 4 / 3:.0f}px">'
    )
    return Markup(head + text[text.index(">") + 1 :])


def _short_numbers(tag: re.Match) -> str:
    """Round the coordinates inside a tag; what stands between tags is read by people."""
    return re.sub(r"\d+\.\d{3,}", lambda hit: f"{float(hit[0]):.2f}", tag[0])


def _without_bare_groups(text: str) -> str:
    """Leave out groups without attributes, which draw nothing."""
    kept: list[bool] = []

    def drawn(tag: re.Match) -> str:
        if tag[0] != "</g>":
            kept.append(tag[0] != "<g>")
            return tag[0] if kept[-1] else ""
        return tag[0] if kept.pop() else ""

    return re.sub(r"<g(?: [^>]*[^/])?>|</g>", drawn, text.replace("<g/>", ""))


def _own_ids(text: str, name: str) -> str:
    """Give ids that are referred to a number, drop the others: none may occur twice on a page."""
    referred = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    ids = {old: f"{name}-{i}" for i, old in enumerate(referred)}

    def rename(hit: re.Match) -> str:
        return f' id="{ids[hit[1]]}"' if hit[1] in ids else ""

    text = re.sub(r' id="([^"]+)"', rename, text)
    text = re.sub(r'(url\(#|xlink:href="#)([^)"]+)', lambda hit: hit[1] + ids[hit[2]], text)
    return text.replace("xlink:href", "href")
