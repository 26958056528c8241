"""Whether displaced vectors keep a network from over-fitting on perturbations that are new.

    python benchmarks/overfitting.py demo network semireal_dev --data-dir data

On the protocol ``unseen_perturbation`` one arm is trained with and without displacement of its
perturbation vectors (``model.vector_noise``), everything else alike, and its predictions of the
test pairs are scored as benchmarks/contest.py does. Every seed draws a simulated screen anew, and
the split of ``semireal_dev``; so a perturbation of another simulated screen is another cluster of
the interval, one of another semi-real split is the same.

Printed are, for each data set, the means of both, how far the displaced network is ahead with its
interval, and in how many draws; then of each option what its trainings took, and the validation
value of the weights that they kept.
"""

import copy
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from contest import components, predictions, score
from networks import FACTS, costs, trained, with_vectors
from paired import CASE, paired_differences
from screens import N_SEMIREAL, SEMIREAL, Screen, screens, screens_parser

from ptrag.base.files import write_table

NONE, DISPLACED = "none", "displaced"
VALIDATED = 10  # perturbations, about
TESTED = 0.3  # of the perturbations
TEXT_SIGNAL = 0.8


def main() -> None:
    """Train, score, print."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--arm", default="state_genept_residual")
    parser.add_argument("--noise", type=float, default=1.4, help="of the displaced vectors")
    parser.add_argument("--steps", type=int, default=2000, help="budget of each training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", default="results/overfitting.tsv")
    arguments = parser.parse_args()
    config = of_unseen(yaml.safe_load(Path(arguments.config).read_text()))
    options = {NONE: 0.0, DISPLACED: arguments.noise}
    tables = []
    for seed in arguments.seeds:
        for name in arguments.datasets:
            signal = TEXT_SIGNAL if "simulate" in config["datasets"][name] else None
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                screen = with_vectors(screen)
                tables.append(scored(screen, config, arguments.arm, arguments.steps, options))
                write_table(pd.concat(tables, ignore_index=True), arguments.out)
    scores = pd.concat(tables, ignore_index=True)
    runs = scores.groupby([*CASE, "arm", "seed"], sort=False)[FACTS].first().reset_index()
    compared = paired_differences(scores, [(DISPLACED, NONE)], config["evaluation"])
    for table in (compared, costs(runs, [*CASE, "arm"])):
        print(table.to_string(index=False), end="\n\n")


def of_unseen(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with one split, of unseen perturbations, for every data set."""
    config = copy.deepcopy(config)
    config["datasets"]["semireal_dev"] = copy.deepcopy(SEMIREAL)
    for entry in config["datasets"].values():
        perturbations = entry.get("simulate", {}).get("n_perturbations", N_SEMIREAL)
        fractions = {"val": VALIDATED / perturbations, "test": TESTED}
        split = {"protocol": "unseen_perturbation", "fractions": fractions}
        entry["splits"] = {"genes": split}
    return config


def with_noise(config: dict[str, Any], arm: str, noise: float) -> dict[str, Any]:
    """Return the configuration with an arm whose vectors are displaced so far."""
    own = config["arm_options"][arm] | {"model": {"vector_noise": noise}}
    return config | {"arm_options": config["arm_options"] | {arm: own}}


def scored(
    screen: Screen, config: dict[str, Any], arm: str, steps: int, options: dict[str, float]
) -> pd.DataFrame:
    """Train an arm with each option, and return one row per test pair and option."""
    predicted, facts, pca = {}, [], components(screen, config["evaluation"]["n_pcs"])
    training = {"max_steps": steps, "validate_every": max(1, steps // 20)}
    with tempfile.TemporaryDirectory() as folder:
        for option, noise in options.items():
            changed = with_noise(config, arm, noise)
            network = trained(screen, changed, arm, training, Path(folder, option))
            facts.append({"arm": option} | network.facts)
            predicted[option] = predictions(screen, network.predictor, pca)
    return score(screen, predicted).merge(pd.DataFrame(facts), on="arm")


if __name__ == "__main__":
    main()
