"""The ``ptrag`` command: what needs no workflow."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ptrag import __version__
from ptrag.errors import PtragError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a :class:`PtragError` becomes one line and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except PtragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    predict.add_argument("bundle", type=Path, help="folder of a trained arm")
    predict.add_argument(
        "controls",
        type=Path,
        help="h5ad of control cells: log1p of counts per 10,000, with the bundle's genes",
    )
    predict.add_argument(
        "--perturbations", nargs="+", required=True, metavar="GENE", help="genes to knock down"
    )
    predict.add_argument(
        "--cell-line", default="", metavar="LINE", help="line of the controls (for response_rag)"
    )
    predict.add_argument("--out", type=Path, required=True, help="h5ad to write")
    predict.set_defaults(run=_predict)

    verify = commands.add_parser(
        "verify",
        help="recompute the hashes of a results folder and say what differs",
        description="Compare every file named in manifest.json with its recorded sha256. "
        "Exit status 1 when something differs.",
    )
    verify.add_argument("results", type=Path, help="results/{dataset}")
    verify.set_defaults(run=_verify)
    return parser


def _arms(options: argparse.Namespace) -> int:
    from ptrag.models.registry import arm_names, load_arm

    for name in arm_names():
        arm = load_arm(name)
        print(f"{name:24}{arm.family:14}{arm.summary}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from ptrag.predict import predict_file

    predict_file(
        options.bundle, options.controls, options.perturbations, options.out, options.cell_line
    )
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ptrag.manifest import verify

    differences = verify(options.results / "manifest.json")
    for line in differences:
        print(line)
    print(f"{options.results}: " + (f"{len(differences)} differ" if differences else "all as made"))
    return 1 if differences else 0
