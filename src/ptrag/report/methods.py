"""The methods text, with the exact settings of the run."""

from typing import Any

import yaml

from ptrag.comparison.contrasts import BASELINES
from ptrag.comparison.permutation import EXACT, FLIPS
from ptrag.comparison.power import PROBABILITY, WIDE
from ptrag.evaluation.bounds import REPEATS
from ptrag.evaluation.intervals import CLASSES
from ptrag.report.gather import Results
from ptrag.report.numbers import counted, listed
from ptrag.report.runs import Training
from ptrag.report.training import plateau_rule

HELD_OUT = {
    "unseen_combination": "val and test perturbations are held out in {} only, and each is trained "
    "on in at least one other line",
    "unseen_perturbation": "val and test perturbations are held out in every line, and are never "
    "candidates of a retrieval",
    "unseen_line": "of {} controls alone are known, but for a few validation pairs, and each of "
    "its perturbations is trained on in another line",
    "unseen_double": "val and test doubles are held out in every line, with all that contains "
    "them, and are never candidates of a retrieval",
}
"""What each protocol holds out; {} is the target line."""


def methods(results: Results) -> list[tuple[str, str]]:
    """Return (heading, paragraph) of each part of the method, in the order of the workflow."""
    s = results.settings
    return [
        ("Cells", _cells(results)),
        ("Splits", _splits(results)),
        ("Embeddings and retrieval", _retrieval(results)),
        ("Training", _trainings(results)),
        ("Prediction", _prediction(s["prediction"])),
        ("Evaluation", _evaluation(s["evaluation"], results.facts)),
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
    normalised = (
        "Counts were normalised to 10,000 per cell over all genes of the source and log1p "
        "transformed."
        if scale == "counts"
        else "The source is on the log1p scale already and was taken as it is."
    )
    return (
        f"{normalised} {facts['genes']} genes were kept: {genes}. Pairs with fewer than "
        f"{cells['min_cells']} cells were excluded."
    )


def _splits(results: Results) -> str:
    parts = []
    for split in results.splits.values():
        parts.append(f"{split.name}: {HELD_OUT[split.protocol].format(split.target)}.")
        if split.dropped:
            parts.append(f"{counted(len(split.dropped), 'listed perturbation')} dropped.")
    return " ".join(
        [
            *parts,
            "The given half of every line's controls is open to training and prediction, the "
            "yardstick half to evaluation alone.",
        ]
    )


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
        f"{s['embeddings']['missing']}. Candidates are {top}nearest training perturbations by "
        "cosine similarity, found by exact search, the perturbation itself left out."
    )


def _trainings(results: Results) -> str:
    """Say how each trained arm was trained, as its bundles have it; like ones together."""
    groups: dict[str, list[Training]] = {}
    for split in results.splits.values():
        for run in split.trainings:
            alike = run.model, run.training, results.arms[run.arm].weighs
            groups.setdefault(repr(alike), []).append(run)
    if not groups:
        return "No arm was trained."
    return " ".join([
        *(_training(runs, results.arms[runs[0].arm].weighs) for runs in groups.values()),
        "Loss: energy distance, mean‖x−y‖ − ½ mean‖x−x′‖ − ½ mean‖y−y′‖, plus λ × mean gate "
        "for the arms with a sparsity term.",
    ])  # fmt: skip


def _training(runs: list[Training], has_expert: bool) -> str:
    """Describe runs that were trained alike; some refine the prediction of an expert."""
    model, training = runs[0].model, runs[0].training
    attention = "causal" if model["causal"] else "bidirectional"
    frozen = (
        " Backbone and output head stay at their random initialisation."
        if model["frozen_backbone"]
        else ""
    )
    noise = (
        f", perturbation vectors displaced by {model['vector_noise']} of their length at every step"
        if model["vector_noise"]
        else ""
    )
    published = training.get("published", False)
    steps = sorted({run.step for run in runs})
    if has_expert:
        taken = (
            f"a checkpoint replaces the expert alone only where its gain in validation "
            f"{training['monitor']} is above its standard error and no validation metric is worse"
        )
    elif published:
        taken = "the last weights are used, whatever their validation, as published"
    else:
        taken = (
            f"the weights, averaged along the run (decay {training['averaging']}), with the best "
            f"validation {training['monitor']} are used"
        )
    at = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
    return (
        f"{listed(dict.fromkeys(run.arm for run in runs))}: backbone of {model['layers']} "
        f"{attention} Llama blocks, hidden size {model['hidden']}, {model['heads']} heads × "
        f"{model['head_size']}, SwiGLU {model['feed_forward']}, dropout "
        f"{model['dropout']}{noise}.{frozen} Batches of {training['sets']} sets × "
        f"{training['set_size']} cells, Adam at a constant learning rate of "
        f"{training['learning_rate']}, gradients clipped at {training['gradient_clip']}, "
        f"up to {training['max_steps']} steps, validated every "
        f"{training['validate_every']}; {taken} ({at}). Seeds: "
        f"{listed(dict.fromkeys(run.seed for run in runs))}."
    )


def _prediction(prediction: dict[str, Any]) -> str:
    return (
        "An arm predicts two things of a pair: its profile, the predicted mean, and "
        f"{prediction['cells_per_pair']} cells (rounded up to whole sets), each from a given "
        "control cell of the same line; the control cells are the same for all arms. Metrics of "
        "means read the profile, metrics of distributions and of DEGs read the cells as the arm "
        "makes them. The effect of a candidate is the L2 norm of the change of the predicted "
        "profile when it is left out, with the same noise."
    )


def _targets(evaluation: dict[str, Any], facts: dict[str, Any]) -> str:
    """Say what happens to the perturbed genes, of which a matrix may lack some."""
    if not evaluation["exclude_target"]:
        return "the perturbed gene is kept in metrics of deltas"
    measured, total = facts["measured_targets"], facts["targets"]
    if measured == total:
        return "the perturbed genes, all of which were measured, are left out of metrics of deltas"
    return (
        f"{measured} of the {total} perturbed genes were measured and are left out of metrics of "
        "deltas; of the others there is nothing to leave out"
    )


def _evaluation(evaluation: dict[str, Any], facts: dict[str, Any]) -> str:
    degs = evaluation["max_degs"]
    most = "all significant genes" if degs is None else f"at most the top {degs}"
    return (
        "Metrics are computed per pair in float64 on the log1p scale; "
        f"{_targets(evaluation, facts)}. Observed deltas are real profiles less the mean of the "
        "yardstick controls of the line, predicted deltas are predicted profiles less that of the "
        "given controls, so that no noise of a control mean stands on both sides. Distances are "
        f"in a PCA with {evaluation['n_pcs']} components fitted on training and control cells, "
        "never on the cells that are scored. DEGs: real cells against yardstick controls of the "
        f"same line, {evaluation['deg_test']} test, Benjamini–Hochberg {evaluation['deg_alpha']}, "
        f"{most} in the metrics on DEGs. The 0–1 scale of a metric is 0 at the mean baseline "
        "(controls moved by the mean training delta of their line) and 1 at a replicate of the "
        "experiment (one random half of the pair's real cells as the prediction of the other, "
        f"mean of {REPEATS} splits). It is one ratio of means over all pairs of a split. A half "
        "has half the cells: where the metric is a correlation the replicate is corrected by "
        "Spearman and Brown, 2r / (1 + r), and a mean squared error of means is halved; for other "
        "metrics it is a cautious one. A metric is "
        "trusted where the interval of the difference of replicate and mean baseline excludes "
        "zero; else it has no scale, and no claim rests on it. Dynamic range: that difference "
        "over its standard deviation over perturbations."
    )


def _intervals(evaluation: dict[str, Any]) -> str:
    return (
        f"Intervals cover {100 * evaluation['coverage']:g} % of the observed deltas of a pair, "
        "gene by gene: predicted delta ± q × scale. The scale is the error expected from the "
        "numbers of cells and the spread of responses among training pairs; q is a quantile of "
        "|error| / scale over the validation pairs of the arm and seed, its level calibrated by "
        f"leaving perturbations out, separately for {CLASSES} classes of genes by signal over "
        "noise. Validation pairs also chose the checkpoint of trained arms, so coverage is "
        "measured on test pairs. Support: share of a candidate in the effect of all evidence × "
        "its similarity (1 for the same perturbation in another line) × the share of its measured "
        "response that is not sampling noise, summed over candidates."
    )


def _comparison(evaluation: dict[str, Any]) -> str:
    level = f"{100 * evaluation['confidence']:g} %"
    primary = listed(evaluation["primary"])
    return (
        "Seeds are averaged within pairs, and arms are compared over the pairs that all of them "
        "predicted. The statistic is the mean paired difference over pairs. Its interval is a "
        f"{level} bootstrap with {evaluation['bootstrap']} resamples of perturbations and of the "
        "seeds of each arm, percentiles expanded for few of either. Its p-value is that of a "
        f"sign-flip permutation of whole perturbations, two-sided: all signs up to {EXACT} "
        f"perturbations, {FLIPS:,} draws above. Holm adjusts over the contrasts of one split and "
        "metric. An arm is called better only where the interval excludes zero and Holm p is "
        f"below {1 - evaluation['confidence']:.3g}. A model beats the simple baselines where it is "
        f"better than every one of {listed(BASELINES)} that ran, each tested; no baseline is "
        f"picked. Claims rest on the primary metrics, named before anything ran ({primary}), as "
        "far as they are trusted; the first of these decides. Nothing is claimed about a trained "
        f"arm whose validation is still improving: {plateau_rule()}. "
        "The detectable difference is the smallest true one that the same rule, at "
        f"the first step of Holm, calls with a probability of {100 * PROBABILITY:g} %; power is "
        f"low where it is more than {100 * WIDE:g} % of the way from mean baseline to replicate, "
        "and there is none "
        "where the smallest p that the permutations can reach is not below the level after Holm. "
        "A split without test pairs is compared on its validation pairs."
    )
