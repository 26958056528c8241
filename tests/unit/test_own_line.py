"""A lab's use: controls of a line that no screen had, genes of which half nobody perturbed.

A **simulated** screen of four lines; one of them is left out but for its controls. The truth of
all its pairs is known, so that predictions are set against it beside the simple baselines.
"""

import anndata
import numpy as np
import pytest
from own_line import NEW_LINE, deltas_and_truth, make_lab, mean_pearson

import ptrag
from ptrag.base.files import read_table
from ptrag.cli import main


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The screen without a line and ten perturbations, that line's controls, and the truth."""
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def predicted(lab):
    """What the two commands of the README write."""
    folder, _, never, elsewhere = lab
    bundle, out = folder / "bundle", folder / "predicted"
    code = main([
        "fit", str(folder / "screen.h5ad"), "--perturbation", "perturbation", "--cell-line",
        "cell_line", "--control", "control", "--min-cells", "10", "--out", str(bundle),
    ])  # fmt: skip
    assert code == 0
    code = main([
        "predict", str(bundle), str(folder / "controls.h5ad"), "--perturbations", *never,
        *elsewhere, "--cells", "20", "--out", str(out),
    ])  # fmt: skip
    assert code == 0
    return bundle, out


def test_every_file_is_there_and_says_what_it_rests_on(lab, predicted):
    _, _, never, elsewhere = lab
    _, out = predicted
    assert sorted(path.name for path in out.iterdir()) == [
        "cells.h5ad", "evidence.tsv", "profiles.h5ad", "summary.html", "summary.tsv",
    ]  # fmt: skip
    summary = read_table(out / "summary.tsv").set_index("perturbation")
    assert set(summary["cell_line"]) == {NEW_LINE}
    assert set(summary["level"][never]) == {"never perturbed"}
    assert set(summary["level"][elsewhere]) == {"measured elsewhere"}
    profiles = anndata.read_h5ad(out / "profiles.h5ad")
    delta = profiles.layers["delta"]
    np.testing.assert_allclose(summary["strength"], np.linalg.norm(delta, axis=1), rtol=1e-5)
    sure = (profiles.layers["p_moves"] >= 0.95).sum(axis=1)
    np.testing.assert_array_equal(summary["n_moving"], sure)
    best = [str(profiles.var_names[i]) for i in delta.argmax(axis=1)]
    assert [up.split()[0] for up in summary["up"]] == best
    assert not set(summary["nearest"]) & set(never)  # nothing is near what nobody measured
    assert (summary["nearest"] != summary.index).all()
    cells = anndata.read_h5ad(out / "cells.h5ad")
    assert set(cells.obs["cell_line"]) == {NEW_LINE}
    assert cells.n_obs == 20 * len(summary)
    evidence = read_table(out / "evidence.tsv")
    assert set(evidence["perturbation"]) == {*never, *elsewhere}
    assert not evidence["candidate"].str.contains(NEW_LINE).any()


def test_predictions_beat_the_simple_baselines(lab, predicted):
    """Mean Pearson delta against the simulated truth; docs/tool.md has every arm on five screens.

    Of genes that nobody perturbed texts tell something: more than the mean of the lines. Of those
    measured elsewhere the mean over the other lines is the baseline to beat.
    """
    folder, truth, never, elsewhere = lab
    profiles = anndata.read_h5ad(predicted[1] / "profiles.h5ad")
    expert = {
        kind: mean_pearson(*deltas_and_truth(profiles, truth, names))
        for kind, names in (("never", never), ("elsewhere", elsewhere))
    }
    assert min(expert.values()) > 0.2
    for arm in ("control", "line_mean", "perturbation_mean", "additive"):
        simple = ptrag.fit(folder / "screen.h5ad", cell_line="cell_line", arm=arm, min_cells=10)
        made = simple.predict(
            folder / "controls.h5ad", [*never, *elsewhere], cells=0, allow_fallback=True
        ).profiles
        for kind, names in (("never", never), ("elsewhere", elsewhere)):
            score = mean_pearson(*deltas_and_truth(made, truth, names))
            assert expert[kind] > score, (arm, kind, score, expert)


def test_intervals_cover_the_truth_and_confidence_is_the_cosine_to_expect(lab, predicted):
    _, truth, never, elsewhere = lab
    profiles = anndata.read_h5ad(predicted[1] / "profiles.h5ad")
    delta, true = deltas_and_truth(profiles, truth, [*never, *elsewhere])
    lower, upper = profiles.layers["lower"], profiles.layers["upper"]
    inside = ((lower <= true) & (true <= upper)).mean()
    assert 0.8 < inside <= 1.0
    cosine = (delta * true).sum(axis=1) / np.linalg.norm(delta, axis=1)
    cosine /= np.linalg.norm(true, axis=1)
    told = read_table(predicted[1] / "summary.tsv")["confidence"]
    assert abs(told.mean() - cosine.mean()) < 0.2


def test_a_gene_is_predicted_alike_whatever_else_is_asked_and_however_it_is_called(lab, predicted):
    folder, _, never, _ = lab
    bundle = ptrag.load(predicted[0])
    controls = anndata.read_h5ad(folder / "controls.h5ad")
    whole = anndata.read_h5ad(predicted[1] / "profiles.h5ad")
    row = list(whole.obs["perturbation"]).index(never[3])
    one = bundle.predict(controls, never[3], cells=0)
    np.testing.assert_array_equal(one.profiles.X[0], whole.X[row])
    p53 = bundle.predict(controls, ["p53", "TP53"], cells=0)
    assert list(p53.summary["perturbation"]) == ["TP53"]
    assert any("p53 is TP53" in note for note in p53.notes)
    assert any("came twice" in note for note in p53.notes)
    assert one.cells is None


def test_genes_that_are_never_perturbed_are_told_apart(lab, predicted):
    """Not all get the line's mean: texts tell of each."""
    profiles = anndata.read_h5ad(predicted[1] / "profiles.h5ad")
    never = profiles[profiles.obs["level"] == "never perturbed"]
    assert len(np.unique(np.round(never.layers["delta"], 6), axis=0)) == len(never)


def test_the_line_is_placed_by_its_control_profile(lab, predicted):
    folder, *_ = lab
    screen = anndata.read_h5ad(folder / "screen.h5ad")
    own = screen[(screen.obs["cell_line"] == "rpe1") & (screen.obs["perturbation"] == "control")]
    made = ptrag.load(predicted[0]).predict(own, "TP53", cell_line="mine", cells=0)
    assert not made.place.known
    assert next(iter(made.place.correlation)) == "rpe1"
    assert made.place.correlation["rpe1"] == pytest.approx(1.0)
    wrong = ptrag.load(predicted[0]).predict(own, "TP53", cell_line="k562", cells=0)
    assert any("is the name right?" in note for note in wrong.notes)
