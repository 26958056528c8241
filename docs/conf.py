"""Sphinx configuration: ``make docs``. Every warning is an error there."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "src"))

import pages  # noqa: E402

from ptrag import __version__  # noqa: E402

project = "ptrag"
author = "the ptrag authors"
copyright = "the ptrag authors, BSD-3-Clause"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "sphinx_book_theme"
html_title = "ptrag"
html_static_path = ["_static"]
html_css_files = ["ptrag.css"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    **{f"navbar_{place}": [] for place in ("start", "center", "end", "persistent")},
}
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc says the types
napoleon_google_docstring = False
napoleon_use_rtype = False
pygments_style = "tango"

# Links from a page into the repository, which the site does not hold: the path stays, as code.
_LINK = re.compile(r"\[`?([^\]`]+)`?\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def _as_on_the_site(app, docname, source):
    """Turn links out of ``docs`` into paths, and drawings that need a script into text."""
    folder = (HERE / docname).parent

    def kept(link):
        text, target, _ = link.groups()
        path = (folder / target).resolve()
        if path.is_relative_to(HERE):
            return link[0]
        name = path.relative_to(HERE.parent).as_posix()
        return f"`{name}`" if name.endswith(text) else f"{text} (`{name}`)"

    source[0] = _LINK.sub(kept, source[0]).replace("```mermaid", "```text")


def setup(app):
    """Make the reference pages, and read pages as the site shows them."""
    pages.write(HERE / "_made")
    app.connect("source-read", _as_on_the_site)
