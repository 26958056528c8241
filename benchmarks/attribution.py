"""What scores come from: the expert without one source, ``response_rag`` without its residual.

    python benchmarks/attribution.py demo semireal_dev --data-dir data --seeds 1
    python benchmarks/attribution.py demo --residual 800 --splits hepg2

``level``: what all perturbations of a line share; ``same perturbation``: entries that share a gene
with the pair; ``like responses`` and ``texts``: likeness (:mod:`ptrag.arms.expert.attribution`).
With ``--residual`` the arm ``response_rag`` is trained on each screen, in at most so many steps,
and held against itself with its gate shut, which is its expert alone. Printed is, for each split,
the whole score, and of each source by how much it falls without it, positive where the source
helps, with intervals that are clustered by perturbation: one that holds zero is not told from
noise. A training whose gate stayed shut shows zeros. Scores as in ``contest.py``.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from contest import OURS, Predicted, components, predictions, score
from networks import trained
from paired import CASE, paired_differences
from screens import Screen, screens, screens_parser

from ptrag.arms.estimate import Estimate, start
from ptrag.arms.expert.attribution import SOURCES, without
from ptrag.arms.registry import load_arm

SHOWN = ("pearson", "pds_cosine", "mse", "energy")
GATED, RESIDUAL = "response_rag", "residual"


def main() -> None:
    """Print one row per data set, split and metric: the whole score, and what each source adds."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--splits", nargs="+", help="these alone; all without")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--residual", type=int, metavar="STEPS", help="train response_rag, too")
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    experts, networks = [], []
    for name in arguments.datasets:
        signal = 0.8 if "simulate" in config["datasets"].get(name, {}) else None
        for seed in arguments.seeds:
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                if arguments.splits is None or screen.split in arguments.splits:
                    experts.append(scored(screen, config["arm_options"][OURS]))
                    if arguments.residual:
                        networks.append(scored_residual(screen, config, arguments.residual))
                    print(screen.case, screen.split, seed, flush=True)
    for arm, sources, tables in ((OURS, SOURCES, experts), (GATED, (RESIDUAL,), networks)):
        if tables:
            scores = pd.concat(tables, ignore_index=True)
            table = summary(scores, arm, sources, config["evaluation"])
            print(arm, table.to_string(index=False), sep="\n", end="\n\n")


def scored(screen: Screen, options: dict) -> pd.DataFrame:
    """Return the scores of the expert of a screen, whole and without each source."""
    fitted = load_arm(OURS).fit(screen.responses, *screen.read_by(OURS), options)
    experts = {OURS: fitted} | {source: without(fitted, source) for source in SOURCES}
    return score(screen, {name: predicted(screen, expert) for name, expert in experts.items()})


def predicted(screen: Screen, expert: Callable[[str, str], Estimate]) -> Predicted:
    """Predict deltas and profiles of the test pairs, without cells."""
    rows = []
    for line, name in screen.pairs:
        estimate = expert(line, name)
        given = screen.responses.control_mean[line]
        rows.append((estimate.delta, estimate.delta + start(estimate.origin, given)))
    deltas, profiles = map(np.array, zip(*rows, strict=True))
    return Predicted(deltas, profiles, np.full(len(rows), np.nan))


def scored_residual(screen: Screen, config: dict, steps: int) -> pd.DataFrame:
    """Train ``response_rag`` on a screen; return its scores with and without its residual."""
    pca = components(screen, config["evaluation"]["n_pcs"])
    training = {"max_steps": steps, "validate_every": max(1, steps // 20)}
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(screen, config, GATED, training, Path(folder)).predictor
        arms = {GATED: whole, RESIDUAL: whole.without_residual()}
        return score(screen, {name: predictions(screen, arm, pca) for name, arm in arms.items()})


def summary(
    scores: pd.DataFrame, arm: str, sources: Sequence[str], evaluation: dict
) -> pd.DataFrame:
    """Return, per split and metric, the whole score and what it loses without each source."""
    whole = scores[scores["arm"] == arm].groupby(CASE, sort=False)[[*SHOWN]].mean()
    table = paired_differences(scores, [(arm, other) for other in sources], evaluation)
    table = table[table["metric"].isin(SHOWN)]
    lost = [f"{r.ahead:+.4f} [{r.low:+.4f}, {r.high:+.4f}]" for r in table.itertuples()]
    wide = table.assign(lost=lost).set_index([*CASE, "metric", "against"])["lost"].unstack()  # noqa: PD010
    wide.insert(0, "whole", [round(whole.loc[key[:2], key[2]], 4) for key in wide.index])
    return wide[["whole", *sources]].reset_index()


if __name__ == "__main__":
    main()
