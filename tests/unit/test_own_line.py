"""A lab's use: controls of a line that no screen had, genes of which half nobody perturbed.

A **simulated** screen of four lines; one of them is left out but for its controls. The truth of
all its pairs is known, so that predictions are set against it beside the simple baselines.
"""

import anndata
import numpy as np
import pytest

import ptrag
from ptrag.base.correlation import pearson
from ptrag.base.files import read_table
from ptrag.cli import main
from ptrag.genes.symbols import GENE_TEXT
from ptrag.simulate.screen import simulate_screen

NEW_LINE = "hepg2"
KNOBS = {
    "kind": "programmes", "seed": 1, "lines": ["k562", "rpe1", "hepg2", "jurkat"],
    "n_perturbations": 60, "n_genes": 150, "cells_per_pair": 30, "controls_per_line": 120,
    "batches": 1, "text_signal": 0.8, "context_signal": 0.3, "systematic_shift": 0.5,
    "gene_text": str(GENE_TEXT),
}  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The screen without a line and ten perturbations, that line's controls, and the truth."""
    folder = tmp_path_factory.mktemp("lab")
    simulate_screen(KNOBS, folder / "whole.h5ad", folder / "truth.h5ad")
    whole, truth = (
        anndata.read_h5ad(folder / "whole.h5ad"),
        anndata.read_h5ad(folder / "truth.h5ad"),
    )
    names = sorted(set(whole.obs["perturbation"]) - {"control"})
    never, elsewhere = names[::6][:10], names[1::6][:10]
    kept = (whole.obs["cell_line"] != NEW_LINE) & ~whole.obs["perturbation"].isin(never)
    whole[kept.to_numpy()].write_h5ad(folder / "screen.h5ad")
    own = (whole.obs["cell_line"] == NEW_LINE) & (whole.obs["perturbation"] == "control")
    whole[own.to_numpy()].write_h5ad(folder / "controls.h5ad")
    return folder, truth, never, elsewhere


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


def deltas_and_truth(profiles, truth, names):
    """Predicted and true deltas of the new line, (names, genes) each."""
    row = {
        (line, name): i
        for i, (line, name) in enumerate(
            zip(truth.obs["cell_line"], truth.obs["perturbation"], strict=True)
        )
    }
    columns = truth.var_names.get_indexer(profiles.var_names)
    true = np.asarray(truth.X)[[row[NEW_LINE, name] for name in names]][:, columns]
    place = {name: i for i, name in enumerate(profiles.obs["perturbation"])}
    return profiles.layers["delta"][[place[name] for name in names]], true


def mean_pearson(deltas, truth):
    return float(np.mean([pearson(*pair) for pair in zip(deltas, truth, strict=True)]))


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


def test_predictions_beat_no_change_and_the_mean_of_the_lines(lab, predicted):
    """Mean Pearson delta against the simulated truth; the numbers are in docs/tool.md."""
    folder, truth, never, elsewhere = lab
    _, out = predicted
    profiles = anndata.read_h5ad(out / "profiles.h5ad")
    simple = ptrag.fit(folder / "screen.h5ad", cell_line="cell_line", arm="line_mean", min_cells=10)
    mean = simple.predict(folder / "controls.h5ad", [*never, *elsewhere], cells=0).profiles
    for names, margin in ((never, 0.0), (elsewhere, 0.1)):
        expert = mean_pearson(*deltas_and_truth(profiles, truth, names))
        baseline = mean_pearson(*deltas_and_truth(mean, truth, names))
        print(f"{len(names)} genes: response_expert {expert:.3f}, line_mean {baseline:.3f}")
        assert expert > baseline + margin
        assert expert > 0.2


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
