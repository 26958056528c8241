"""The commands of the README and of the documentation, as they stand there.

A block marked ``bash`` holds commands, one marked ``python`` in a tutorial a program; both are run
literally, in the order of the page. So is a command in running text, in backticks.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FIRST = ("demo", "own-screen", "own-controls", "first-prediction", "evaluate", "cluster")
"""The tutorials, in the order in which they build on each other."""

FENCE = re.compile(r"^```(\{?[\w-]*\}?)[^\n]*\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`((?:snakemake|ptrag|make|python|pip|git) [^`]+)`(?!`)")


@dataclass(frozen=True)
class Command:
    """One command of a page, or a whole program."""

    page: str
    language: str
    text: str


def pages(root: Path) -> list[Path]:
    """Return every page, the tutorials first and the README after them."""
    tutorials = [root / f"docs/tutorials/{name}.md" for name in FIRST]
    site = sorted(
        path for path in (root / "docs").rglob("*.md")
        if not {"_made", "_build"} & set(path.relative_to(root).parts) and path not in tutorials
    )  # fmt: skip
    return [*tutorials, root / "README.md", root / "CONTRIBUTING.md", *site]


def commands(root: Path) -> list[Command]:
    """Return every command of every page, in order, each once."""
    found = []
    for path in pages(root):
        page, text = str(path.relative_to(root)), path.read_text(encoding="utf-8")
        for language, block in FENCE.findall(text):
            if language == "bash":
                found += [Command(page, "bash", one) for one in split(block)]
            elif language == "python" and "tutorials" in page:
                found.append(Command(page, "python", block))
        for code in INLINE.findall(FENCE.sub("", text)):
            found.append(Command(page, "bash", " ".join(code.split())))
    first: dict[tuple[str, str], Command] = {}
    for one in found:
        first.setdefault((one.language, one.text), one)
    return list(first.values())


def split(block: str) -> list[str]:
    """Split a block into whole commands: a line, or more where bash waits for the rest."""
    whole, begun = [], ""
    for line in block.splitlines():
        if not begun and (not line.strip() or line.startswith("#")):
            continue
        begun += line + "\n"
        asked = subprocess.run(["bash", "-n"], input=begun, capture_output=True, text=True)
        if asked.returncode == 0 and not asked.stderr and not begun.endswith("\\\n"):
            alone = begun.count("\n") == 1
            whole.append(re.sub(r"\s+# .*", "", begun.strip()) if alone else begun.strip())
            begun = ""
    assert not begun, f"is no whole command: {begun}"
    return whole


def languages(root: Path) -> set[tuple[str, str]]:
    """Return (page, language) of every block."""
    return {
        (str(path.relative_to(root)), language)
        for path in pages(root)
        for language, _ in FENCE.findall(path.read_text(encoding="utf-8"))
    }
