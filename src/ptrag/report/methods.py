"""The methods text, with the exact settings of the run."""

from typing import Any

import yaml

from ptrag.comparison.compare import BASELINES
from ptrag.evaluation.bounds import REPEATS
from ptrag.evaluation.intervals import CLASSES
from ptrag.report.gather import Results
from ptrag.report.numbers import counted, listed


def methods(results: Results) -> list[tuple[str, str]]:
    """Return (heading, paragraph) of each part of the method, in the order of the workflow."""
    s = results.settings
    return [
        ("Cells", _cells(results)),
        ("Splits", _splits(results)),
        ("Embeddings and retrieval", _retrieval(results)),
        ("Training", _training(s["model"], s["training"], s["seeds"])),
        ("Prediction", _prediction(s["prediction"])),
        ("Evaluation", _evaluation(s["evaluation"])),
        ("Intervals and support", _intervals(s["evaluation"])),
        ("Comparison", _comparison(s["evaluation"])),
    ]


def settings_text(results: Results) -> str:
    """Return the resolved configuration as YAML."""
    return yaml.safe_dump(results.settings, sort_keys=False, allow_unicode=True, width=88)


def _cells(results: Results) -> str:
    cells, facts = results.settings["cells"], results.facts
    genes = {
        "controls": "the most variable among control cells alone, so that no held-out response "
        "can choose genes",
        "given": "those that the source itself marks",
        "all": "all of the source",
    }[cells["genes"]]
    scale = results.settings["source"].get("scale", "counts")
    made = (
        "Counts were normalised to 10,000 per cell over all genes of the source and log1p "
        "transformed."
        if scale == "counts"
        else "The source is on the log1p scale already and was taken as it is."
    )
    return (
        f"{made} {facts['genes']} genes were kept: {genes}. Pairs with fewer than "
        f"{cells['min_cells']} cells were excluded."
    )


def _splits(results: Results) -> str:
    parts = []
    for split in results.splits.values():
        if split.protocol == "unseen_combination":
            held = f"are held out in {split.target} only and trained on in at least one other line"
        else:
            held = "are held out in every line, and are never candidates of a retrieval"
        parts.append(f"{split.name}: val and test perturbations {held}.")
        if split.dropped:
            parts.append(f"{counted(len(split.dropped), 'listed perturbation')} dropped.")
    return " ".join([*parts, "Control cells of every line are open to training and prediction."])


def _retrieval(results: Results) -> str:
    s = results.settings
    source = {
        "text": "gene names and GO terms through a sentence encoder",
        "genept": "GenePT vectors (text-embedding-ada-002 on NCBI summaries)",
        "table": "vectors of the user's table",
    }[s["embedding"]]
    k = sorted(
        {o["topk_rag"] for arm, o in s["arm_options"].items()
         if o.get("rag") and "topk_rag" in o and arm in results.arms}
    )  # fmt: skip
    top = f"at most K = {listed(map(str, k))} " if k else "the "
    return (
        f"Perturbations are embedded by {source}; what happens to one without a vector: "
        f"{s['embeddings']['missing']}. "
        f"Candidates are {top}nearest training perturbations by cosine similarity, found by exact "
        "search, the perturbation itself left out."
    )


def _training(model: dict[str, Any], training: dict[str, Any], seeds: list[int]) -> str:
    attention = "causal" if model["causal"] else "bidirectional"
    frozen = (
        " Backbone and output head stay at their random initialisation."
        if model["frozen_backbone"]
        else ""
    )
    return (
        f"Backbone: {model['layers']} {attention} Llama blocks, hidden size {model['hidden']}, "
        f"{model['heads']} heads × {model['head_size']}, SwiGLU {model['feed_forward']}, dropout "
        f"{model['dropout']}.{frozen} Batches of {training['sets']} sets × {training['set_size']} "
        f"cells, Adam with learning rate {training['learning_rate']} (constant), "
        f"gradients clipped at {training['gradient_clip']}, up to {training['max_steps']} steps, "
        f"validated every {training['validate_every']}; the checkpoint with the best validation "
        f"{training['monitor']} is used. Seeds: {listed(map(str, seeds))}. Loss: energy distance, "
        "mean‖x−y‖ − ½ mean‖x−x′‖ − ½ mean‖y−y′‖, plus λ × mean gate for the arms with a "
        "sparsity term."
    )


def _prediction(prediction: dict[str, Any]) -> str:
    return (
        f"{prediction['cells_per_pair']} cells per pair (rounded up to whole sets), each from a "
        "control cell of the same line; the control cells are the same for all arms, and the mean "
        "of a pair's cells is what the arm makes of all controls of the line (up to 1,024). The "
        "effect of a candidate is the L2 norm of the change of the mean predicted profile when it "
        "is left out, with the same noise."
    )


def _evaluation(evaluation: dict[str, Any]) -> str:
    target = "left out of" if evaluation["exclude_target"] else "kept in"
    degs = evaluation["max_degs"]
    most = "all significant genes" if degs is None else f"at most the top {degs}"
    return (
        f"Metrics are computed per pair in float64 on the log1p scale; the perturbed gene is "
        f"{target} metrics of deltas. Distances are in a PCA with {evaluation['n_pcs']} components "
        "fitted on training and control cells, never on the cells that are scored. DEGs: real "
        f"cells against controls of the same line, {evaluation['deg_test']} test, "
        f"Benjamini–Hochberg {evaluation['deg_alpha']}, {most} in the metrics on DEGs. The 0–1 "
        "scale of a metric is 0 at the mean baseline (controls moved by the mean training delta "
        "of their line) and 1 at a replicate (one random half of the pair's real cells as the "
        f"prediction of the other, mean of {REPEATS} splits; half as many cells make it a cautious "
        "ceiling). Of several pairs it is the ratio of the sums, over pairs whose ceiling is "
        "better than their floor."
    )


def _intervals(evaluation: dict[str, Any]) -> str:
    return (
        f"Intervals cover {100 * evaluation['coverage']:g} % of the observed deltas of a pair, "
        "gene by gene: predicted delta ± q × scale. The scale is the error expected from the "
        "numbers of cells and the spread of responses among training pairs; q is a quantile of "
        "|error| / scale over the validation pairs of the arm and seed, its level calibrated by "
        f"leaving perturbations out, separately for {CLASSES} classes of genes by signal over "
        "noise. Validation pairs also chose the checkpoint of trained arms, so coverage is "
        "measured on test pairs. Support: share of a candidate in the effect of all evidence × its "
        "similarity (1 for the same perturbation in another line) × the share of its measured "
        "response that is not sampling noise, summed over candidates."
    )


def _comparison(evaluation: dict[str, Any]) -> str:
    level = f"{100 * evaluation['confidence']:g} %"
    return (
        "Seeds are averaged within pairs; arms are then compared over pairs. Intervals: "
        f"{level} bootstrap of the mean with {evaluation['bootstrap']} resamples, clustered by "
        "perturbation, percentiles expanded for few clusters. Tests: Wilcoxon signed-rank over "
        "perturbations, two-sided, Holm-adjusted over the contrasts of one split, metric and kind. "
        "An arm is called better only where the interval of the paired difference excludes zero "
        f"and Holm p is below {1 - evaluation['confidence']:.3g}. The simple baselines are "
        f"{listed(BASELINES)}; the best one that ran is chosen per split and metric by its mean on "
        "the validation pairs, so that choosing does not favour it on the pairs that are "
        "compared. A split without test pairs is compared on its validation pairs, and every "
        "simple baseline is held against. Effect size: matched-pairs rank-biserial correlation. "
        "The detectable difference is the smallest true one whose interval excludes zero with 80 % "
        "power, a normal approximation before Holm; power is called low where that is more than a "
        "tenth of the way from mean baseline to replicate."
    )
