"""Renders the report: one HTML file, styles, script and figures inside."""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ptrag import __version__
from ptrag.base.files import atomic
from ptrag.report import (
    calibration,
    evidence,
    maps,
    scores,
    sections,
    single_pairs,
    tables,
    training,
    unmeasured,
)
from ptrag.report.figure import style
from ptrag.report.gather import Results, SplitView, gather
from ptrag.report.html import page
from ptrag.report.methods import methods, settings_text
from ptrag.report.pooled import pooled_table
from ptrag.report.recommendation import advice
from ptrag.report.split_content import split_content
from ptrag.report.verdict import headline, verdict
from ptrag.report.words import words

SECTIONS = {
    "advice": "What to use",
    "find": "Find a gene",
    "map": "Map of predictions",
    "verdict": "Verdict",
    "comparison": "Comparison",
    "run": "What was run",
    "contrasts": "Contrasts",
    "pairs": "Pair by pair",
    "strata": "Where it works",
    "deltas": "Observed and predicted deltas",
    "evidence": "Retrieved neighbours",
    "calibration": "Intervals and support",
    "unmeasured": "Pairs that nobody measured",
    "training": "Training",
    "coverage": "Coverage of embeddings",
    "audit": "Leak audit",
    "published": "Published table",
    "methods": "Methods",
    "glossary": "Glossary of metrics",
}
UNFOLDED = ("advice", "find", "map", "verdict", "comparison")
"""Sections that stand open; the others are a click away."""

logger = logging.getLogger("ptrag")


def write_report(
    home: Path,
    runs: Iterable[tuple[str, str, int]],
    settings: dict[str, Any],
    out_html: str | Path,
    date: str,
) -> None:
    """Write the report of one data set.

    The file holds everything it shows and loads nothing. It is a function of the arguments and
    the results alone: no path, no random id.

    Parameters
    ----------
    home
        ``results/{dataset}``.
    runs
        (split, arm, seed) of every run.
    settings
        The resolved configuration (:func:`ptrag.config.resolve`).
    out_html
        The file to write.
    date
        When it is made, in words.

    Raises
    ------
    PtragError
        Where a result file is missing.
    """
    results = gather(Path(home), runs, settings)
    with style():
        html = page(_content(results, date))
    with atomic(out_html) as part:
        part.write_text(html, encoding="utf-8")
    logger.info("report: %s, %.2f MB", out_html, len(html.encode()) / 1e6)


def configuration_digest(settings: dict[str, Any]) -> str:
    """Return the first digits of the SHA-256 of a resolved configuration, to tell two apart."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(results: Results, date: str) -> dict[str, Any]:
    """Everything the templates name."""
    verdicts = [verdict(split) for split in results.splits.values()]
    outcome, line = headline(results, verdicts)
    return {
        "manifest": True,
        "sections": SECTIONS,
        "unfolded": UNFOLDED,
        "made": {
            "date": date,
            "version": __version__,
            "configuration": configuration_digest(results.settings),
        },
        "advice": [advice(split) for split in results.splits.values()],
        "deciding": [
            words(metric)
            for metric in dict.fromkeys(split.claims.metric for split in results.splits.values())
        ],
        "pair_data": single_pairs.pages(results),
        "unmeasured": unmeasured.tables(results),
        "dataset": results.settings["dataset"],
        "simulated": results.simulated,
        "facts": results.facts,
        "arms": list(results.arms.values()),
        "seeds": results.settings["seeds"],
        "outcome": outcome,
        "headline": line,
        "verdicts": verdicts,
        "primary": [words(metric) for metric in results.settings["evaluation"]["primary"]],
        "counts": tables.counts(results),
        "pooled": pooled_table(results),
        "splits": [_split(results, split) for split in results.splits.values()],
        "legend": sections.legend(list(results.arms.values())),
        "coverage": tables.coverage(results),
        "not_exact": sections.not_exact(results.coverage),
        "published": tables.published(results),
        "plateau_rule": training.plateau_rule(),
        "methods": methods(results),
        "settings": settings_text(results),
        "glossary": tables.glossary(results),
    }


def _split(results: Results, split: SplitView) -> dict[str, Any]:
    """Return what the page shows of one split."""
    logger.info("report: drawing split %s", split.name)
    claims, metric = split.claims, split.claims.metric
    main = [view.name for view in sections.main_arms(results, split)]
    supported = [arm for arm in main if results.arms[arm].kind == "model"]
    return split_content(results, split) | {
        "dropped": split.dropped,
        "all_pairs": scores.all_pairs(split, metric, main, claims.first(metric, "model")),
        "map": maps.clustered_map(results, split),
        "maps": sections.heat_maps(results, split),
        "evidence": evidence.evidence_summary(results, split),
        "fallbacks": evidence.fallbacks(split),
        "gates": sections.gate_plots(results, split),
        "trained": sections.legend([results.arms[a] for a in dict.fromkeys(split.history["arm"])]),
        "improving": claims.improving,
        "trainings": training.trainings(results, split),
        "calibration": calibration.table(results, split),
        "coverage_plot": calibration.coverage_plot(results, split),
        "support": calibration.support_plots(results, split, supported),
        "curves": training.curves(results, split),
        "audits": split.audits,
    }
