"""The report of the paper's matrix, 18 arms in four lines, is a page that can be sent by mail."""

import pytest
import report_cases
from report_cases import DATE, SETTINGS, plant

from ptrag.metrics.registry import METRICS
from ptrag.report.page import write_report

pytestmark = pytest.mark.slow

MOST = 6e6  # bytes
LINES = ["hepg2", "jurkat", "k562", "rpe1"]
ARMS = {
    "control": 0.0, "perturbation_mean": 0.4, "line_mean": 0.25, "additive": 0.45, "ridge": 0.38,
    "knn": 0.3, "state": -0.06, "state_genept": -0.05, "vanilla_rag": -0.1, "ptrag": -0.02,
    "vanilla_rag_residual": -0.05, "ptrag_residual": -0.01, "ptrag@shuffled": 0.37,
    "ptrag_residual@shuffled": 0.36, "response_expert": 0.0, "response_expert@shuffled": 0.35,
    "response_rag": 0.01,
}  # fmt: skip
MODELS = [arm for arm, level in ARMS.items() if level <= 0.01 and arm != "control"]
NEURAL = [arm for arm in ARMS if arm.startswith(("state", "vanilla", "ptrag", "response_rag"))]
RETRIEVE = [arm for arm in ARMS if arm.startswith(("knn", "vanilla", "ptrag", "response"))]


@pytest.fixture
def matrix(tmp_path, monkeypatch):
    """Runs and settings of planted results: 1,635 test pairs as the paper has, with all metrics."""
    genes = [f"PERT{i}" for i in range(1022)]
    options = {
        arm: {"rag": arm in RETRIEVE, "use_genept": arm in NEURAL, "topk_rag": 4} for arm in ARMS
    }
    evaluation = SETTINGS["evaluation"] | {"bootstrap": 50}
    settings = SETTINGS | {
        "arms": [*ARMS, "split_half"], "seeds": [42], "arm_options": options,
        "evaluation": evaluation,
    }  # fmt: skip
    for name, value in {
        "LINES": LINES, "PERTURBATIONS": genes, "GENES": [f"GENE{i}" for i in range(200)],
        "MODELS": MODELS, "NEURAL": NEURAL, "RETRIEVE": tuple(RETRIEVE), "SETTINGS": settings,
    }.items():  # fmt: skip
        monkeypatch.setattr(report_cases, name, value)
    runs = [(line, arm, 42 if arm in NEURAL else 0) for line in LINES for arm in ARMS]
    planted = plant(tmp_path, runs=runs, metrics=tuple(METRICS), levels=ARMS)
    return tmp_path, runs, planted


def test_the_report_of_the_papers_matrix_is_below_six_megabytes(matrix):
    home, runs, settings = matrix
    write_report(home, runs, settings, home / "report.html", DATE)
    size = (home / "report.html").stat().st_size
    print(f"\nreport of {len(runs)} runs: {size / 1e6:.2f} MB")
    assert size <= MOST
