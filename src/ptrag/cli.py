"""The ``ptrag`` command: what needs no workflow."""

import argparse
import logging
import sys
from collections.abc import Sequence

from ptrag import __version__
from ptrag.arguments import (
    Parser,
    label,
    new_file,
    path,
    refuse_overwriting,
    share,
    whole_number,
)
from ptrag.base.errors import PtragError
from ptrag.base.names import PERTURBATION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a mistake of the user becomes one line and exit status 1."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        return options.run(options)
    except PtragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing is left half-written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ptrag",
        description="Predict single-cell responses to gene perturbations, with retrieval. "
        "The pipeline itself is `snakemake` (see README.md).",
    )
    parser.add_argument("--version", action="version", version=f"ptrag {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    arms = commands.add_parser("arms", help="list the arms: how each one predicts")
    arms.set_defaults(run=_arms)

    predict = commands.add_parser(
        "predict",
        help="predict from a trained bundle and your own controls",
        description="Predict the cells of perturbations from control cells, with a bundle that "
        "the workflow trained (results/{dataset}/{split}/{arm}/seed{seed}/bundle).",
        epilog="example: ptrag predict results/demo/hepg2/ptrag/seed1/bundle controls.h5ad "
        "--perturbations TP53 MYC --out predicted.h5ad",
    )
    predict.add_argument("bundle", type=path, help="folder of a trained arm")
    predict.add_argument(
        "controls",
        type=path,
        help="file of control cells (h5ad, h5mu, zarr): log1p of counts per 10,000, with the "
        "bundle's genes",
    )
    predict.add_argument(
        "--perturbations",
        nargs="+",
        required=True,
        type=label,
        metavar="GENE",
        help="genes to knock down, by any of their names",
    )
    predict.add_argument(
        "--cell-line", default="", metavar="LINE", help="line of the controls (for response_rag)"
    )
    predict.add_argument(
        "--cells", type=whole_number(1), metavar="N",
        help="cells of each perturbation (default: one for each control)",
    )  # fmt: skip
    predict.add_argument(
        "--out", type=new_file, required=True, help="h5ad of predicted cells to write"
    )
    _add_gene_symbol(predict)
    predict.set_defaults(run=_predict)

    _add_evaluate(commands)

    verify = commands.add_parser(
        "verify",
        help="recompute the hashes of a results folder and say what differs",
        description="Compare every file named in manifest.json with its recorded sha256. "
        "Exit status 1 when something differs.",
    )
    verify.add_argument("results", type=path, help="results/{dataset}")
    verify.set_defaults(run=_verify)
    return parser


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score predicted cells of any model against real cells: two h5ad files",
        description="Score predicted cells of any model against real ones. Both files hold log1p "
        "expression in X (counts normalised to one total per cell, then log1p), gene symbols as "
        "var names and the same obs columns. REAL holds the control cells too; where PREDICTED has "
        "some, its deltas are measured from them. Every (cell line, perturbation) of PREDICTED is "
        "scored against the same one in REAL: profiles, deltas, distributions in a PCA of the "
        "control cells, differential expression against the line's controls, and discrimination "
        "among the perturbations of a line. Files on other scales, missing genes or unknown "
        "labels are errors, not numbers.",
        epilog="example: ptrag evaluate real.h5ad predicted.h5ad --perturbation gene "
        "--cell-line cell_type --control non-targeting --out metrics.tsv",
    )
    evaluate.add_argument("real", type=path, metavar="REAL.h5ad", help="real cells, with controls")
    evaluate.add_argument("predicted", type=path, metavar="PRED.h5ad", help="predicted cells")
    evaluate.add_argument(
        "--out", type=new_file, required=True, metavar="TSV",
        help="table to write: a row per pair and metric with value, and ceiling, the value of one "
        "half of the real cells as prediction of the other",
    )  # fmt: skip
    evaluate.add_argument(
        "--perturbation", default=PERTURBATION, metavar="COL",
        help="obs column of both files that names the perturbation (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--cell-line", metavar="COL", help="obs column of the cell line (default: one line)"
    )
    evaluate.add_argument(
        "--control", nargs="+", type=label, default=["control"], metavar="LABEL",
        help="label of control cells in that column, or several (default: control)",
    )  # fmt: skip
    _add_gene_symbol(evaluate)
    evaluate.add_argument(
        "--n-pcs", type=whole_number(1), default=50, metavar="N",
        help="components of the PCA in which distributions are compared (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--deg-test", choices=("welch", "wilcoxon"), default="welch",
        help="test for differential expression (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--deg-alpha", type=share, default=0.05, metavar="P",
        help="Benjamini-Hochberg level of DEGs (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--max-degs", type=whole_number(1), default=100, metavar="N",
        help="DEGs of smallest p that count in deltas on DEGs (default: %(default)s)",
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
    evaluate.set_defaults(run=_evaluate)


def _add_gene_symbol(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gene-symbol", metavar="COL",
        help="var column with the gene symbols (default: the var names; where these plainly are "
        "none, the column that plainly has symbols)",
    )  # fmt: skip


def _arms(options: argparse.Namespace) -> int:
    from ptrag.arms.registry import arm_names, load_arm

    for name in arm_names():
        arm = load_arm(name)
        print(f"{name:24}{arm.family:14}{arm.summary}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    if fault := refuse_overwriting(options.out, options.controls):
        raise PtragError(fault)
    from ptrag.prediction.own_controls import predict_file

    files = predict_file(
        options.bundle,
        options.controls,
        options.perturbations,
        options.out,
        options.cell_line,
        options.cells,
        options.gene_symbol,
    )
    print(f"predicted cells: {files.cells}\nprofiles: {files.profiles}\nevidence: {files.evidence}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    if fault := refuse_overwriting(options.out, options.real, options.predicted):
        raise PtragError(fault)
    from ptrag.evaluation.files import evaluate_files, summary

    table = evaluate_files(
        options.real,
        options.predicted,
        options.out,
        perturbation=options.perturbation,
        cell_line=options.cell_line,
        gene_symbol=options.gene_symbol,
        control=options.control,
        evaluation={
            "exclude_target": not options.keep_target,
            "n_pcs": options.n_pcs,
            "deg_test": options.deg_test,
            "deg_alpha": options.deg_alpha,
            "max_degs": options.max_degs,
            "compat": options.compat,
        },
        ceilings=not options.no_ceilings,
    )
    print(summary(table))
    print(f"every pair: {options.out}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ptrag.provenance.manifest import verify

    differences = verify(options.results / "manifest.json")
    for line in differences:
        print(line)
    print(f"{options.results}: " + (f"{len(differences)} differ" if differences else "all as made"))
    return 1 if differences else 0
