"""The ``ptrag`` command: what needs no workflow."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from ptrag.arguments import parser, refuse_overwriting
from ptrag.base.errors import PtragError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a mistake of the user becomes one line and exit status 1."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        return RUN[options.command](options)
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


def _arms(options: argparse.Namespace) -> int:
    from ptrag.arms.registry import arm_names, load_arm

    for name in arm_names():
        arm = load_arm(name)
        print(f"{name:24}{arm.family:14}{arm.summary}")
    return 0


def _fit(options: argparse.Namespace) -> int:
    if fault := refuse_overwriting(options.out, options.screen):
        raise PtragError(fault)
    logging.getLogger("ptrag").setLevel(logging.INFO)
    from ptrag.api import fit
    from ptrag.prediction.bundle import refuse_other_folder

    refuse_other_folder(options.out)
    fitted = fit(
        options.screen,
        perturbation=options.perturbation,
        cell_line=options.cell_line,
        control=options.control,
        batch=options.batch,
        arm=options.arm,
        embedding=options.embedding,
        embedding_file=options.embedding_file,
        gene_symbol=options.gene_symbol,
        scale=options.scale,
        n_genes=options.genes,
        min_cells=options.min_cells,
        min_controls=options.min_controls,
    )
    fitted.save(options.out)
    print(
        f"{fitted.arm} on {len(fitted.perturbations)} perturbations in {', '.join(fitted.lines)}, "
        f"{len(fitted.genes)} genes\nbundle: {options.out}"
    )
    return 0


def _predict(options: argparse.Namespace) -> int:
    if fault := refuse_overwriting(options.out, options.controls, options.bundle):
        raise PtragError(fault)
    logging.getLogger("ptrag").setLevel(logging.INFO)
    from ptrag.prediction.counts_file import VCC_CELLS
    from ptrag.prediction.files import PredictionFiles
    from ptrag.prediction.loading import load_bundle
    from ptrag.prediction.predict import listed_perturbations, predict_own
    from ptrag.report.answers import write_answers

    if options.no_cells and (options.counts or options.format == "vcc2026"):
        raise PtragError("--no-cells: there are no cells to count; leave it away")
    bundle = load_bundle(options.bundle)
    perturbations = None if options.all else options.perturbations
    if options.listed:
        perturbations = listed_perturbations(options.listed)
    report = predict_own(
        bundle,
        options.controls,
        perturbations,
        PredictionFiles.into(options.out, None if options.no_cells else "cells.h5ad"),
        line=options.cell_line,
        n_cells=VCC_CELLS if options.format == "vcc2026" else options.cells,
        gene_symbol=options.gene_symbol,
        scale=options.scale,
        allow_fallback=options.allow_fallback,
        counts=options.counts,
        vcc2026=options.out / "vcc2026.h5ad" if options.format == "vcc2026" else None,
    )
    page = options.out / "summary.html"
    write_answers(report, bundle.about, page)
    print("\n".join([*report.lines(), f"to read, searchable by gene: {page}"]))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    for out in filter(None, (options.out, options.report)):
        if fault := refuse_overwriting(out, options.real, *options.predicted):
            raise PtragError(fault)
    from ptrag.report.evaluation import evaluate

    settings = {
        "exclude_target": not options.keep_target,
        "n_pcs": options.n_pcs,
        "deg_test": options.deg_test,
        "deg_alpha": options.deg_alpha,
        "max_degs": options.max_degs,
        "compat": options.compat,
    }
    for text in evaluate(
        options.real,
        options.predicted,
        options.out,
        options.report,
        perturbation=options.perturbation,
        cell_line=options.cell_line,
        gene_symbol=options.gene_symbol,
        control=options.control,
        evaluation=settings,
        ceilings=not options.no_ceilings,
        threads=options.threads,
    ):
        print(text)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ptrag.provenance.manifest import verify

    differences = verify(options.results / "manifest.json")
    for line in differences:
        print(line)
    print(f"{options.results}: " + (f"{len(differences)} differ" if differences else "all as made"))
    return 1 if differences else 0


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "arms": _arms, "fit": _fit, "predict": _predict, "evaluate": _evaluate, "verify": _verify,
}  # fmt: skip
