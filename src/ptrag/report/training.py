"""What the page says of trainings: when one is finished, what it took, and its curves."""

from markupsafe import Markup

from ptrag.base.plateau import GAIN, PATIENCE, SHARE, WINDOW
from ptrag.report import plots
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import decimals, interval, listed
from ptrag.report.runs import Training
from ptrag.report.tables import Cell, Table, heads, number_cell, places_of


def plateau_rule() -> str:
    """Say when a validation curve is still improving, for the end of a sentence."""
    return (
        f"smoothed over {WINDOW} validations, the best of the last {100 * SHARE:g} % of them (at "
        f"least {PATIENCE}) is better than the best before by more than {100 * GAIN:g} % of it, or "
        f"there are fewer than {WINDOW + PATIENCE} validations"
    )


def trainings(results: Results, split: SplitView) -> Table:
    """Arms that were trained: steps kept and done, plateau, minutes, and the deciding score."""
    metric = split.claims.metric
    scores = split.claims.scores.set_index(["arm", "metric"])
    places = places_of(scores["mean"], metric)
    runs: dict[str, list[Training]] = {}
    for run in split.trainings:
        runs.setdefault(run.arm, []).append(run)
    minutes = {
        arm: sum(run.seconds for run in of_arm) / len(of_arm) / 60 for arm, of_arm in runs.items()
    }
    table = Table(
        caption=f"{split.name}: what each training took, and what it scores on {split.role} pairs",
        columns=[
            ("Arm", ""), ("Step kept", "of each seed: the step whose weights predict"),
            ("Last step", "of each seed"), ("Validation", ""),
            ("Minutes", "wall time of one training, mean over seeds"), *heads([metric]),
        ],
    )  # fmt: skip
    for arm, of_arm in runs.items():
        row = scores.loc[(arm, metric)]
        improving = arm in split.claims.improving
        table.rows.append(
            [
                Cell(arm, value=arm),
                Cell(listed(f"{run.step:,}" for run in of_arm), value=of_arm[0].step),
                Cell(listed(f"{run.last_step:,}" for run in of_arm), value=of_arm[0].last_step),
                Cell("still improving" if improving else "on its plateau"),
                number_cell(minutes[arm], decimals(minutes.values()), mark="elapsed"),
                number_cell(
                    row["mean"], places, small=interval(row["low"], row["high"], places),
                    mark="untrusted" if improving or not row["trusted"] else "",
                ),
            ]
        )  # fmt: skip
    return table


def curves(results: Results, split: SplitView) -> dict[str, Markup]:
    """Draw the validation metrics that chose checkpoints, the loss and the gate."""
    monitors = dict.fromkeys(run.training["monitor"] for run in split.trainings)
    kept = {(run.arm, run.seed): run.step for run in split.trainings}
    wanted = [("val", metric) for metric in monitors]
    figures, history = {}, split.history
    for where, metric in [*wanted, ("train", "loss"), ("train", "gate")] if len(history) else ():
        rows = history[(history["split"] == where) & (history["metric"] == metric)]
        if len(rows):
            label = f"{metric}, {where}"
            figures[label] = plots.training_curves(
                rows, results.arms, f"{split.name}-{where}-{metric}", label,
                kept if where == "val" else {},
            )  # fmt: skip
    return figures
