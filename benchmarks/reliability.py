"""Are stated false-sign rates kept, and do supported predictions err less? A table and a drawing.

    python benchmarks/reliability.py demo network semireal_dev --data-dir data --seeds 1

On screens with known truth, test pairs of all splits: the share of wrong signs among genes in bins
of the stated rate (reliability), and the mean error 1 − ρ of the predicted delta among the pairs
with the highest support (:mod:`ptrag.evaluation.support`), by how many pairs are kept (risk and
coverage). The drawing goes to ``--svg``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from screens import Screen, screens, screens_parser

from ptrag.arms.registry import load_arm
from ptrag.base.correlation import pearson
from ptrag.base.names import CELL_LINE, PERTURBATION
from ptrag.cells.noise import Precision
from ptrag.evaluation.support import support
from ptrag.prediction.closed_form import ClosedFormPredictor
from ptrag.prediction.prediction import GivenControls

RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
NOMINAL = (0.01, 0.05, 0.1)
KEPT = (0.1, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Print the tables and draw them."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--svg", default="results/reliability.svg")
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    signs, pairs = [], []
    for name in arguments.datasets:
        signal = 0.8 if "simulate" in config["datasets"].get(name, {}) else None
        for seed in arguments.seeds:
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                of_genes, of_pairs = measured(screen, config["arm_options"]["response_expert"])
                signs.append(of_genes.assign(data=name))
                pairs.append(of_pairs.assign(data=name))
    tables = [
        kept_rates(pd.concat(signs)), reliability(pd.concat(signs)), risk(pd.concat(pairs))
    ]  # fmt: skip
    for table in tables:
        print(table.round(4).to_string(index=False), end="\n\n")
    draw(*tables[1:], arguments.svg)


def measured(screen: Screen, options: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return stated rate and wrongness of every gene, and support and error of every pair."""
    fitted = load_arm("response_expert").fit(
        screen.responses, *screen.read_by("response_expert"), options
    )
    predictor, store = ClosedFormPredictor({screen.split: fitted}), screen.store
    given = {line: GivenControls.of_store(store, line) for line in store.lines}
    rates, wrong, evidence, errors = [], [], [], []
    for pair, truth in zip(screen.pairs, screen.truth, strict=True):
        estimate = fitted(*pair)
        rates.append(estimate.wrong_sign)
        wrong.append(np.sign(truth) != np.sign(estimate.delta))
        errors.append(1 - pearson(estimate.delta, truth))
        table = predictor.predict(given[pair.cell_line], pair.perturbation, 2).evidence
        evidence.append(
            table.assign(**{CELL_LINE: pair.cell_line, PERTURBATION: pair.perturbation})
        )
    names = pd.DataFrame(screen.pairs, columns=[CELL_LINE, PERTURBATION])
    supported = support(
        names, pd.concat(evidence, ignore_index=True), Precision.of(screen.responses).entries
    )
    genes = pd.DataFrame({"rate": np.concatenate(rates), "wrong": np.concatenate(wrong)})
    return genes, pd.DataFrame({"support": supported, "error": errors, "split": screen.split})


def kept_rates(signs: pd.DataFrame) -> pd.DataFrame:
    """Return how many signs are stated at a nominal rate, and the share of wrong ones."""
    rows = []
    for data, of_data in signs.groupby("data", sort=False):
        for nominal in NOMINAL:
            wrong = of_data.loc[of_data["rate"] <= nominal, "wrong"]
            rows.append((data, nominal, len(wrong), wrong.mean()))
    return pd.DataFrame(rows, columns=["data", "nominal", "signs", "realised"])


def reliability(signs: pd.DataFrame) -> pd.DataFrame:
    """Return stated and realised rates in bins of the stated one."""
    bins = pd.cut(signs["rate"], RATES, include_lowest=True)
    table = signs.groupby(["data", bins], sort=False, observed=True).agg(
        stated=("rate", "mean"), realised=("wrong", "mean"), signs=("wrong", "size")
    )
    return table.reset_index(level="data").sort_values(["data", "stated"])


def risk(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of the best supported pairs, by the share of pairs that are kept."""
    rows = []
    for (data, split), of_case in pairs.groupby(["data", "split"], sort=False):
        error = of_case.sort_values("support", ascending=False)["error"].to_numpy()
        for kept in KEPT:
            rows.append((data, split, kept, error[: max(1, round(kept * len(error)))].mean()))
    return pd.DataFrame(rows, columns=["data", "split", "kept", "error"])


def draw(rates: pd.DataFrame, risks: pd.DataFrame, path: str) -> None:
    """Draw both curves side by side."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 0.6], [0, 0.6], color="grey", linewidth=0.8, label="as stated")
    for data, of_data in rates.groupby("data", sort=False):
        left.plot(of_data["stated"], of_data["realised"], marker="o", label=data)
    left.set(xlabel="stated false-sign rate", ylabel="share of wrong signs", title="Reliability")
    for (data, split), of_case in risks.groupby(["data", "split"], sort=False):
        right.plot(of_case["kept"], of_case["error"], marker="o", label=f"{data}, {split}")
    right.set(xlabel="share of pairs kept, best supported first", ylabel="1 − Pearson Δ (truth)",
              title="Risk and coverage")  # fmt: skip
    for axes in (left, right):
        axes.legend(fontsize=7, frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
