"""What two-stage retrieval adds to the vector of a perturbation, over many screens.

    python benchmarks/retrieval.py demo network --text-signal 0 0.4 0.8 --seeds 1 2
    python benchmarks/retrieval.py semireal_dev papalexi norman_mcfaline --data-dir data

Arms are trained to their plateau on every split of every draw, as the workflow trains them, and
their predictions of the test pairs are scored as benchmarks/contest.py does, beside the simple
baselines, ``response_expert`` and, where the truth is known, ``oracle``. Every seed is a new draw:
of a simulated data set the whole screen, of the others the split; and another start of the network.

Each training leaves its scores in the folder ``--out``. What is there already is not trained again,
so that a run that was stopped goes on. Printed are, for each split, the means of all arms; how far
arms with retrieval are ahead of the same network without, of themselves with the candidates of
another perturbation, and of themselves with shuffled vectors;
how far networks and the expert are ahead of the simple baseline that comes nearest, chosen in
hindsight; and the steps and CPU seconds of the trainings.
"""

import copy
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from arms_table import number, places
from contest import OURS, components, fit_arms, means, nearest_baselines, predictions, score
from networks import FACTS, costs, trained, with_vectors
from paired import CASE, paired_differences
from screens import SEMIREAL, Screen, case_of, screens, screens_parser
from trainings import markdown

from ptrag.base.files import read_table, write_table
from ptrag.comparison.contrasts import BASELINES
from ptrag.metrics.pca import PCA
from ptrag.prediction.closed_form import ClosedFormPredictor

ARMS = (
    "state_genept", "ptrag", "ptrag@reassigned", "ptrag@shuffled", "state_genept_residual",
    "ptrag_residual", "ptrag_residual@reassigned", "ptrag_residual@shuffled",
)  # fmt: skip
CONTRASTS = (
    ("ptrag", "state_genept"), ("ptrag", "ptrag@reassigned"), ("ptrag", "ptrag@shuffled"),
    ("ptrag_residual", "state_genept_residual"), ("ptrag_residual", "ptrag_residual@reassigned"),
    ("ptrag_residual", "ptrag_residual@shuffled"),
)  # fmt: skip
CLOSED = "closed_forms"  # the simple baselines, the expert and the oracle: one file
SHOWN = ("pearson", "mse", "pds_cosine", "energy")


def main() -> None:
    """Train what is not there yet, and print."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--text-signal", nargs="+", type=float, default=[0.8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--splits", nargs="+", help="without: those of the configuration")
    parser.add_argument("--arms", nargs="+", default=ARMS, help="networks")
    parser.add_argument("--steps", type=int, default=3000, help="budget of each training")
    parser.add_argument("--validate-every", type=int, default=100, help="steps")
    parser.add_argument("--out", type=Path, default="results/retrieval", help="folder")
    arguments = parser.parse_args()
    config = with_semireal(yaml.safe_load(Path(arguments.config).read_text()))
    training = {"max_steps": arguments.steps, "validate_every": arguments.validate_every}
    tables = []
    for name in arguments.datasets:
        entry = config["datasets"][name]
        chosen = arguments.splits or entry["splits"]
        entry["splits"] = {split: entry["splits"][split] for split in chosen}
        for signal in arguments.text_signal if "simulate" in entry else [None]:
            for seed in arguments.seeds:
                folders = [folder_of(arguments.out, name, signal, split, seed) for split in chosen]
                paths = [
                    folder / f"{a}.tsv" for folder in folders for a in (CLOSED, *arguments.arms)
                ]
                if not all(path.is_file() for path in paths):
                    draw = screens(config, name, seed, signal, arguments.data_dir)
                    for screen, folder in zip(draw, folders, strict=True):
                        complete(screen, config, arguments.arms, training, folder)
                tables += map(read_table, paths)
    scores = pd.concat(tables, ignore_index=True)
    networks = scores[scores["step"].notna()].astype({"step": int, "last_step": int})
    runs = networks.groupby([*CASE, "arm", "seed"], sort=False)[FACTS].first().reset_index()
    evaluation = config["evaluation"]
    arms = (*runs["arm"].unique(), OURS)
    nearest = [nearest_baselines(scores, arm, evaluation) for arm in arms]
    tables = (
        means(scores)[[*CASE, "arm", *SHOWN]],
        wide(paired_differences(scores, CONTRASTS, evaluation), ["arm", "against"]),
        wide(pd.concat(nearest), ["arm"]),
        costs(runs, [*CASE, "arm"]),
    )
    print(*map(markdown, tables), sep="\n\n")


def wide(differences: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row per split and ``by``: how far the arm is ahead by each metric shown.

    Bold where the interval is clear of zero; in brackets, in how many draws the arm is better.
    Where ``by`` does not say against what, each entry does.
    """
    rows = []
    for row in differences[differences["metric"].isin(SHOWN)].itertuples():
        value, low, high = (number(x, places(row.metric)) for x in (row.ahead, row.low, row.high))
        text = f"{value} [{low}, {high}]"
        text = f"**{text}**" if row.low > 0 or row.high < 0 else text
        text += f" ({row.better_in})" + ("" if "against" in by else f" `{row.against}`")
        rows.append((*(getattr(row, key) for key in (*CASE, *by)), row.n_pairs, row.metric, text))
    index = [*CASE, *by, "pairs"]
    table = pd.DataFrame(rows, columns=[*index, "metric", "ahead"])
    return table.pivot_table("ahead", index, "metric", "first", sort=False).reset_index()


def with_semireal(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the semi-real screen, split as the demo is."""
    splits = config["datasets"]["demo"]["splits"]
    datasets = config["datasets"] | {"semireal_dev": copy.deepcopy(SEMIREAL) | {"splits": splits}}
    return config | {"datasets": datasets}


def folder_of(out: Path, name: str, signal: float | None, split: str, seed: int) -> Path:
    """Return the folder of one split of one draw."""
    return out / case_of(name, signal).replace(" ", "_") / split / f"seed{seed}"


def complete(
    screen: Screen, config: dict[str, Any], arms: list[str], training: dict[str, Any], folder: Path
) -> None:
    """Write the scores on a screen of every arm that has none in the folder."""
    screen, pca = with_vectors(screen), components(screen, config["evaluation"]["n_pcs"])
    for arm in (CLOSED, *arms):
        path = folder / f"{arm}.tsv"
        if path.is_file():
            continue
        if arm == CLOSED:
            table = of_closed_forms(screen, config, pca)
        else:
            table = of_network(screen, config, arm, training, pca)
        write_table(table, path)
        print(path, flush=True)


def of_closed_forms(screen: Screen, config: dict[str, Any], pca: PCA) -> pd.DataFrame:
    """Return the scores of the closed forms, which have no facts of a training."""
    fitted = fit_arms(screen, config["arm_options"], (*BASELINES, OURS))
    predictors = {arm: ClosedFormPredictor({screen.split: predict}) for arm, predict in fitted}
    of_arms = {arm: predictions(screen, one, pca) for arm, one in predictors.items()}
    return score(screen, of_arms)


def of_network(
    screen: Screen, config: dict[str, Any], arm: str, training: dict[str, Any], pca: PCA
) -> pd.DataFrame:
    """Train an arm, and return its scores beside the facts of its training."""
    with tempfile.TemporaryDirectory() as folder:
        network = trained(screen, config, arm, training, Path(folder))
        of_arm = predictions(screen, network.predictor, pca)
    return score(screen, {arm: of_arm}).assign(**network.facts)


if __name__ == "__main__":
    main()
