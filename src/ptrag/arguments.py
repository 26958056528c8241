"""Arguments of the command, checked before anything is read: a fault is one line."""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from ptrag import __version__
from ptrag.base.defaults import SCORING, SCREEN
from ptrag.base.names import CONTROL, PERTURBATION


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
    _check_writable(text, file.absolute().parents)
    return file


def new_folder(text: str) -> Path:
    """Read the path of a folder to write into, that can be written or made."""
    folder = path(text)
    if folder.is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    _check_writable(text, (folder.absolute(), *folder.absolute().parents))
    return folder


def _check_writable(text: str, folders: Iterable[Path]) -> None:
    folder = next(parent for parent in folders if parent.exists())
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: {folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text}: the folder {folder} cannot be written")


def label(text: str) -> str:
    """Read a name that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def refuse_overwriting(out: Path, *inputs: Path) -> str | None:
    """Say which input a file or folder to write is, is in, or holds; None where it is none.

    A folder to write into may be the one that an input file lies in.
    """
    target = out.resolve()
    for file in inputs:
        read = file.resolve()
        if target == read or (read.is_dir() and target.is_relative_to(read)):
            where = "is" if target == read else "is in"
            return f"--out: {out} {where} {file}, which is read; name another"
    return None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command; ``command`` is the subcommand."""
    whole = Parser(
        prog="ptrag",
        description="Predict single-cell responses to gene perturbations, with retrieval. "
        "The pipeline itself is `snakemake` (see README.md).",
    )
    whole.add_argument("--version", action="version", version=f"ptrag {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("arms", help="list the arms: how each one predicts")

    _add_fit(commands)
    _add_predict(commands)
    _add_evaluate(commands)

    verify = commands.add_parser(
        "verify",
        help="recompute the hashes of a results folder and say what differs",
        description="Compare every file named in manifest.json with its recorded sha256. "
        "Exit status 1 when something differs.",
    )
    verify.add_argument("results", type=path, help="results/{dataset}")
    return whole


def _add_fit(commands: argparse._SubParsersAction) -> None:
    fit = commands.add_parser(
        "fit",
        help="make a bundle from your own screen, in one command",
        description="Fit an arm on a screen of perturbed and control cells, and write a bundle "
        "from which `ptrag predict` predicts any gene in any line. X holds raw counts or log1p of "
        "counts per 10,000. All control cells are used: to test an arm on held-out pairs, make the "
        "screen a data set of the workflow instead.",
        epilog="example: ptrag fit screen.h5ad --perturbation gene --cell-line cell_type "
        "--control non-targeting --out bundle",
    )
    fit.add_argument("screen", type=path, help="file of cells (h5ad, h5mu, zarr, 10x h5)")
    fit.add_argument("--out", type=new_folder, required=True, help="folder of the bundle to write")
    fit.add_argument(
        "--arm",
        default="response_expert",
        help="a closed form (`ptrag arms`; default: %(default)s)",
    )
    _add_columns(
        fit, "the screen", perturbation=(PERTURBATION, PERTURBATION), cell_line="one line",
        control=([CONTROL], CONTROL),
    )  # fmt: skip
    fit.add_argument("--batch", metavar="COL", help="obs column of the batch (default: one batch)")
    fit.add_argument(
        "--embedding", default="text", choices=("text", "genept", "table"),
        help="where vectors of perturbations come from (default: gene texts, no file needed)",
    )  # fmt: skip
    fit.add_argument(
        "--embedding-file", type=path, metavar="FILE",
        help="GenePT's archive, or a table: the symbol, then one column per dimension",
    )  # fmt: skip
    _add_gene_symbol(fit)
    _add_scale(fit)
    _add_number(
        fit, "--genes", SCREEN["n_genes"],
        "most variable genes among controls that are predicted", least=2,
    )  # fmt: skip
    _add_number(fit, "--min-cells", SCREEN["min_cells"], "a pair with fewer cells is left out")
    _add_number(
        fit, "--min-controls", SCREEN["min_controls"],
        "a line with fewer controls is left out", least=2,
    )  # fmt: skip


def _add_predict(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict any gene in any line from a bundle and your own controls",
        description="Predict perturbations from control cells of one line, with a bundle of "
        "`ptrag fit` or of the workflow (results/{dataset}/{split}/{arm}/seed{seed}/bundle). The "
        "line need not be one of the bundle's, nor the genes perturbed in any screen. Writes "
        "profiles.h5ad (predicted means; layers with delta, interval, probability that a gene "
        "moves), cells.h5ad, evidence.tsv (what was retrieved), summary.tsv (a row per "
        "perturbation: strength, confidence, nearest measured one, top genes) and summary.html, a "
        "page to look genes up in.",
        epilog="example: ptrag predict bundle controls.h5ad --cell-line a549 "
        "--perturbations TP53 MYC --out predicted",
    )
    predict.add_argument("bundle", type=path, help="folder of a bundle")
    predict.add_argument(
        "controls", type=path,
        help="file of control cells (h5ad, h5mu, zarr, 10x h5): raw counts, or log1p of counts per "
        "10,000; where obs has `perturbation`, the cells called control there",
    )  # fmt: skip
    which = predict.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--perturbations", nargs="+", type=label, metavar="GENE",
        help="genes to perturb, by any of their names; A+B for two at once",
    )  # fmt: skip
    which.add_argument(
        "--from", dest="listed", type=path, metavar="FILE", help="the same, one a line of a file"
    )
    which.add_argument(
        "--all", action="store_true", help="every gene that the bundle knows something of"
    )
    predict.add_argument(
        "--out", type=new_folder, required=True, metavar="DIR", help="folder to write into"
    )
    predict.add_argument(
        "--cell-line", metavar="LINE",
        help="line of the controls (default: that of obs `cell_line`)",
    )  # fmt: skip
    predict.add_argument(
        "--allow-fallback", action="store_true",
        help="predict what the bundle knows nothing of by the mean response of the line, and mark "
        "it (refused otherwise)",
    )  # fmt: skip
    cells = predict.add_mutually_exclusive_group()
    cells.add_argument(
        "--cells", type=whole_number(1), metavar="N",
        help="cells of each perturbation (default: one for each control)",
    )  # fmt: skip
    cells.add_argument("--no-cells", action="store_true", help="profiles alone")
    predict.add_argument(
        "--counts", action="store_true", help="also whole counts, as a layer of cells.h5ad"
    )
    predict.add_argument(
        "--format", choices=("h5ad", "vcc2026"), default="h5ad",
        help="vcc2026: also vcc2026.h5ad, 400 cells of whole counts for each perturbation in the "
        "layout of the 2026 Virtual Cell Challenge",
    )  # fmt: skip
    _add_gene_symbol(predict)
    _add_scale(predict)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score predicted cells of any models against real cells: h5ad files",
        description="Score predicted cells of any models against real ones. All files hold counts "
        "or log1p expression in X (counts normalised to one total per cell, then log1p), gene "
        "symbols as var names and the same obs columns. REAL holds the control cells too; where "
        "PRED has some, its deltas are measured from them. Every (cell line, perturbation) of PRED "
        "is scored against the same one in REAL: profiles, deltas, distributions in a PCA of the "
        "control cells, differential expression against the line's controls, discrimination "
        "among the perturbations of a line and, on counts, the six metrics of the 2026 Virtual "
        "Cell Challenge. Floors are the mean response of the line's other perturbations, ceilings "
        "split halves. Several predictions are compared with the tests of the workflow. Files on "
        "other scales, missing genes or unknown labels are errors, not numbers.",
        epilog="example: ptrag evaluate real.h5ad a.h5ad b.h5ad --perturbation gene "
        "--cell-line cell_type --control non-targeting --out metrics.tsv --report report.html",
    )
    evaluate.add_argument("real", type=path, metavar="REAL.h5ad", help="real cells, with controls")
    evaluate.add_argument(
        "predicted", type=path, nargs="+", metavar="PRED.h5ad", help="predicted cells"
    )
    evaluate.add_argument(
        "--out", type=new_file, required=True, metavar="TSV",
        help="table to write: a row per pair and metric with value, floor (the mean response of "
        "the others) and ceiling (one half of the real cells as prediction of the other)",
    )  # fmt: skip
    evaluate.add_argument(
        "--report", type=new_file, metavar="HTML",
        help="page to write: verdict, comparison, contrasts, every pair; it loads nothing",
    )  # fmt: skip
    _add_number(evaluate, "--threads", 1, "pairs scored at once; the numbers are the same")
    _add_columns(
        evaluate,
        "all files",
        perturbation=(None, "the first of perturbation, target_gene, gene, target, condition"),
        cell_line="cell_line, cell_type or context, where all files have it; else one line",
        control=(None, "control, ctrl, non-targeting, non_targeting and NT, as far as they are "
                 "there"),
    )  # fmt: skip
    _add_gene_symbol(evaluate)
    _add_scoring(evaluate)


def _add_scoring(evaluate: argparse.ArgumentParser) -> None:
    _add_number(
        evaluate, "--n-pcs", SCORING["n_pcs"],
        "components of the PCA in which distributions are compared",
    )  # fmt: skip
    evaluate.add_argument(
        "--deg-test", choices=("welch", "wilcoxon"), default=SCORING["deg_test"],
        help="test for differential expression (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--deg-alpha", type=share, default=SCORING["deg_alpha"], metavar="P",
        help="Benjamini-Hochberg level of DEGs (default: %(default)s)",
    )  # fmt: skip
    _add_number(
        evaluate, "--max-degs", SCORING["max_degs"],
        "DEGs of smallest p that count in deltas on DEGs",
    )  # fmt: skip
    evaluate.add_argument(
        "--keep-target", action="store_true",
        help="count the perturbed gene in deltas and DEGs (left out otherwise)",
    )  # fmt: skip
    evaluate.add_argument(
        "--compat", action="store_true", help="also the metrics of gge-eval and cell-eval"
    )
    evaluate.add_argument(
        "--no-ceilings", action="store_true", help="skip the ceilings: three times faster"
    )


def _add_number(
    command: argparse.ArgumentParser, option: str, default: int, text: str, least: int = 1
) -> None:
    command.add_argument(
        option, type=whole_number(least), default=default, metavar="N",
        help=f"{text} (default: %(default)s)",
    )  # fmt: skip


def _add_columns(
    command: argparse.ArgumentParser, of: str, *, perturbation: tuple[str | None, str],
    cell_line: str, control: tuple[list[str] | None, str],
) -> None:  # fmt: skip
    """Add the columns of obs and the label of controls: each default, and the words for it."""
    command.add_argument(
        "--perturbation", default=perturbation[0], metavar="COL",
        help=f"obs column of {of} that names the perturbation (default: {perturbation[1]})",
    )  # fmt: skip
    command.add_argument(
        "--cell-line", metavar="COL", help=f"obs column of the cell line (default: {cell_line})"
    )
    command.add_argument(
        "--control", nargs="+", type=label, default=control[0], metavar="LABEL",
        help=f"label of control cells in that column, or several (default: {control[1]})",
    )  # fmt: skip


def _add_scale(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scale", choices=("auto", "counts", "log1p"), default="auto",
        help="what X holds: raw counts, or log1p of counts per 10,000 (default: recognised)",
    )  # fmt: skip


def _add_gene_symbol(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gene-symbol", metavar="COL",
        help="var column with the gene symbols (default: the var names; where these plainly are "
        "none, the column that plainly has symbols)",
    )  # fmt: skip
