"""Pairs that nobody measured: which they are, by whom they are predicted, what is refused."""

import pytest

from ptrag.base.errors import PtragError
from ptrag.base.names import Pair, Run
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.own_screen import Screen, fit_screen, measured
from ptrag.prediction.unmeasured import named_pairs, predict_unmeasured, tabulate
from ptrag.simulate.example import example_screen

LEVELS = ["never perturbed", "measured elsewhere", "never perturbed"]


def test_pairs_are_each_perturbation_in_each_line_or_those_of_a_table(tmp_path):
    section = {"lines": ["a", "b"], "perturbations": ["TP53", "MYC"]}
    assert named_pairs(section) == [("a", "TP53"), ("a", "MYC"), ("b", "TP53"), ("b", "MYC")]
    path = tmp_path / "pairs.tsv"
    path.write_text("perturbation\tcell_line\nTP53\ta\nMYC\tb\nTP53\ta\n")
    assert named_pairs({"file": str(path)}) == [("a", "TP53"), ("b", "MYC")]
    path.write_text("perturbation\tline\nTP53\ta\n")
    with pytest.raises(PtragError, match="has no column 'cell_line'"):
        named_pairs({"file": str(path)})
    path.write_text("perturbation\tcell_line\n")
    with pytest.raises(PtragError, match="names no pair"):
        named_pairs({"file": str(path)})


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A screen in which one of two lines has controls alone, and bundles of two arms."""
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    whole = example_screen()
    kept = (whole.obs["cell_line"] == "k562") | (whole.obs["perturbation"] == "control")
    whole[kept.to_numpy()].write_h5ad(path)
    read = Screen(path, cell_line="cell_line", n_genes=None)
    with measured(read) as (store, responses):
        bundles = {arm: fit_screen(read, arm) for arm in ("knn", "line_mean")}
        yield store, bundles, responses.perturbations


def test_a_line_with_controls_alone_is_predicted_and_measured_pairs_are_not(screen, tmp_path):
    store, bundles, known = screen
    asked = [(line, name) for line in ("K562", "rpe1") for name in (known[0], "p53", "TP53")]
    summaries = []
    for arm, bundle in bundles.items():
        files = PredictionFiles.into(tmp_path / arm)
        summary = predict_unmeasured(bundle, store, [Pair(*pair) for pair in asked], 5, files)
        pairs = list(zip(summary["cell_line"], summary["perturbation"], strict=True))
        assert pairs == [("k562", "TP53"), ("rpe1", known[0]), ("rpe1", "TP53")]
        assert list(summary["level"]) == LEVELS
        summaries.append((Run("s", arm, 0), files.summary))
    table = tabulate(summaries)
    assert list(table.columns[:5]) == ["split", "arm", "seed", "cell_line", "perturbation"]
    assert list(table["arm"]) == ["knn"] * 3 + ["line_mean"] * 3


def test_what_cannot_be_predicted_is_refused_in_one_line(screen, tmp_path):
    store, bundles, known = screen
    files = PredictionFiles.into(tmp_path)

    def ask(*pairs):
        predict_unmeasured(bundles["knn"], store, [Pair(*pair) for pair in pairs], 5, files)

    with pytest.raises(PtragError, match=r"'TP35' is no gene .*did you mean TP53"):
        ask(("k562", "TP35"))
    with pytest.raises(PtragError, match=r"no line 'k56'.*did you mean 'k562'\?"):
        ask(("k56", "TP53"))
    with pytest.raises(PtragError, match="all 1 pairs were measured"):
        ask(("k562", known[0]))
    assert not list(tmp_path.iterdir())
