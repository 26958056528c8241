"""What must not be found: texts that say nothing, responses that are dealt anew.

    python benchmarks/nulls.py --screens 60

Small simulated screens at text_signal 0, of both kinds in turn, each with pairs held out in one
line and with perturbations held out in every line. On each, ``response_expert`` is held against
``@shuffled`` (nothing may be gained from texts), and ``@permuted`` against itself without its
members, which is the level of the line (nothing may be gained from permuted responses). Printed is
in how many screens something is, at 95 %: by chance in one of forty, at most in one of twenty.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from screens import Screen, screens

from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.stacking import Stack
from ptrag.arms.registry import base_name, load_arm
from ptrag.base.correlation import pearson
from ptrag.comparison.statistics import paired_comparison

OURS = "response_expert"
ARMS = (OURS, f"{OURS}@shuffled", f"{OURS}@permuted")
KNOBS = {
    "n_perturbations": 40, "n_genes": 120, "cells_per_pair": 24, "controls_per_line": 80,
    "lines": ["k562", "rpe1", "hepg2"], "batches": 1, "text_signal": 0.0,
}  # fmt: skip
SPLITS = {
    "hepg2": {
        "protocol": "unseen_combination", "target": "hepg2", "fractions": {"val": 0.0, "test": 0.4},
    },
    "genes": {"protocol": "unseen_perturbation", "fractions": {"val": 0.0, "test": 0.3}},
}  # fmt: skip
KINDS = ("programmes", "network")


def main() -> None:
    """Print how many screens show what they must not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--screens", type=int, default=60)
    parser.add_argument("--first-seed", type=int, default=1000)
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.screens)
    print(summary(pd.concat([found(config, seed) for seed in seeds])).to_string(index=False))


def found(config: dict, seed: int) -> pd.DataFrame:
    """Return, for each split of one screen, the gain from texts and from permuted responses."""
    kind = KINDS[seed % len(KINDS)]
    entry = copy.deepcopy(config["datasets"]["demo"])
    entry["simulate"] |= KNOBS | {"kind": kind}
    entry["splits"] = SPLITS
    entry["settings"] = {"cells": {"genes": "all", "min_cells": 5, "min_controls": 10}}
    of_seed = config | {"datasets": {"small": entry}}
    rows = []
    for screen in screens(of_seed, "small", seed, 0.0, Path()):
        fitted = {arm: _fit(screen, arm, config["arm_options"]) for arm in ARMS}
        level = replace(
            fitted[ARMS[2]], stack=Stack({}, np.ones(len(screen.responses.genes))), share=1.0
        )
        texts = _gain(screen, fitted[OURS], fitted[ARMS[1]], config["evaluation"])
        permuted = _gain(screen, fitted[ARMS[2]], level, config["evaluation"])
        rows.append((kind, screen.split, seed, *texts, *permuted))
    columns = ["kind", "split", "seed", "texts", "texts low", "permuted", "permuted low"]
    return pd.DataFrame(rows, columns=columns)


def _fit(screen: Screen, arm: str, options: dict) -> Expert:
    return load_arm(arm).fit(screen.responses, *screen.read_by(arm), options[base_name(arm)])


def _gain(screen: Screen, arm: Expert, other: Expert, evaluation: dict) -> tuple[float, float]:
    """Mean lead in correlation with the observed deltas, and the lower end of its interval."""
    scores = [
        np.array([
            pearson(fitted(*pair).delta, observed)
            for pair, observed in zip(screen.pairs, screen.observed, strict=True)
        ])
        for fitted in (arm, other)
    ]  # fmt: skip
    names = [pair.perturbation for pair in screen.pairs]
    gain = paired_comparison(*scores, names, evaluation["bootstrap"], evaluation["confidence"])
    return gain.difference, gain.low


def summary(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the screens in which something is found, of all."""
    rows = []
    for (kind, split), of_case in gains.groupby(["kind", "split"], sort=False):
        row = {"kind": kind, "split": split, "screens": len(of_case)}
        for what in ("texts", "permuted"):
            row |= {
                f"{what}: mean gain": round(of_case[what].mean(), 4),
                f"{what}: found": int((of_case[f"{what} low"] > 0).sum()),
            }
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
