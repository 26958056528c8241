"""Arguments of the command, checked before anything is read: a fault is one line."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """Print the error and where help is; exit status 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def whole_number(least: int) -> Callable[[str], int]:
    """Return the reader of a whole number of at least ``least``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small, the least is {least}")
        return value

    return read


def share(text: str) -> float:
    """Read a number between 0 and 1, neither of them."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def path(text: str) -> Path:
    """Read a path; ``~`` is the home folder."""
    return Path(text).expanduser()


def new_file(text: str) -> Path:
    """Read the path of a file to write, into a folder that can be written."""
    file = path(text)
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: {folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text}: the folder {folder} cannot be written")
    return file


def label(text: str) -> str:
    """Read a name that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def refuse_overwriting(out: Path, *inputs: Path) -> str | None:
    """Say which input a file to write is; None where it is none."""
    same = [file for file in inputs if file.exists() and out.exists() and out.samefile(file)]
    return f"--out: {out} is {same[0]}, which is read; name another file" if same else None
