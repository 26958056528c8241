"""Predictions and references that do not belong together, or are broken."""

from dataclasses import replace

import anndata
import h5py
import numpy as np
import pytest
from scoring_cases import SETTINGS, make_split, scored_screen, shifted, write_predictions

from ptrag.base.errors import PtragError
from ptrag.evaluation.evaluate import evaluate
from ptrag.evaluation.reference import build_reference


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return scored_screen(tmp_path_factory.mktemp("screen"))


def renamed(column, old, new):
    def change(file):
        file.obs[column] = file.obs[column].astype(str).replace(old, new)

    return change


def of_another_scale(file):
    file.uns["scale"] = "counts"


def of_other_genes(file):
    file.var_names = ["NOVEL", *file.var_names[1:]]


def infinite(file):
    file.X[0, 0] = np.inf


@pytest.mark.parametrize("which", ["profiles", "predictions"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_another_scale, "scale 'counts'"),
        (of_other_genes, "other genes"),
        (renamed("cell_line", "a", "c"), "unlike the file beside it"),
    ],
)  # fmt: skip
def test_foreign_predictions_are_refused(screen, which, change, message):
    folder, store, split, _ = screen
    written = write_predictions(folder / "foreign", store, split, shifted(screen))
    edit(getattr(written, which), change)
    with pytest.raises(PtragError, match=f"foreign.{which}.h5ad.*{message}|{message}"):
        evaluate(store, split, folder / "reference.h5", *written, SETTINGS, folder / "x.tsv")


def edit(path, change):
    file = anndata.read_h5ad(path)
    change(file)
    file.write_h5ad(path)


def test_predictions_of_pairs_that_are_not_scored_are_refused(screen):
    folder, store, split, _ = screen
    written = write_predictions(folder / "foreign", store, split, shifted(screen))
    for path in written:
        edit(path, renamed("perturbation", split.pairs("test")[0][1], "NOVEL"))
    with pytest.raises(PtragError, match="'NOVEL' in 'a' is no val or test pair"):
        evaluate(store, split, folder / "reference.h5", *written, SETTINGS, folder / "x.tsv")


def test_broken_profiles_are_refused(screen):
    folder, store, split, _ = screen
    written = write_predictions(folder / "broken", store, split, shifted(screen))
    args = store, split, folder / "reference.h5", *written, SETTINGS, folder / "x.tsv"
    edit(written.profiles, infinite)
    with pytest.raises(PtragError, match="missing or infinite values"):
        evaluate(*args)
    file = anndata.read_h5ad(written.profiles)
    anndata.concat([file, file[:1]], uns_merge="first").write_h5ad(written.profiles)
    with pytest.raises(PtragError, match="a pair twice"):
        evaluate(*args)
    written.profiles.write_bytes(b"nothing")
    with pytest.raises(PtragError, match="no file of predictions"):
        evaluate(*args)


def test_a_reference_of_another_split_or_settings_is_refused(screen, tmp_path):
    folder, store, split, _ = screen
    written = write_predictions(folder / "p", store, split, shifted(screen))
    rest = folder / "reference.h5", *written
    with pytest.raises(PtragError, match="other settings"):
        evaluate(store, split, *rest, SETTINGS | {"n_pcs": 3}, tmp_path / "x")
    other = make_split(tmp_path, store, seed=2)
    with pytest.raises(PtragError, match="another split"):
        evaluate(store, other, *rest, SETTINGS, tmp_path / "x")
    (tmp_path / "old.h5").write_bytes((folder / "reference.h5").read_bytes())
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(PtragError, match="another version"):
        evaluate(store, split, tmp_path / "old.h5", *written, SETTINGS, tmp_path / "x")


def test_one_predicted_cell_is_refused(screen):
    folder, store, split, _ = screen
    written = write_predictions(folder / "single", store, split, lambda line, p, x: x, n_cells=1)
    with pytest.raises(PtragError, match="one predicted cell"):
        evaluate(store, split, folder / "reference.h5", *written, SETTINGS, folder / "x.tsv")


def test_a_reference_learns_nothing_from_what_is_held_out(screen, tmp_path):
    _, store, split, _ = screen
    table = split.table.copy()
    table.loc[(table["role"] == "test").idxmax(), "role"] = "train"  # test in the other line
    with pytest.raises(PtragError, match="leak audit: not so that no held-out perturbation"):
        build_reference(
            store, replace(split, table=table), SETTINGS, tmp_path / "r.h5", floor_cells=None
        )
    assert not (tmp_path / "r.h5").exists()
