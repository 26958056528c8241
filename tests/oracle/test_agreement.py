"""Every metric of gge-eval and cell-eval beside ours: `make test-oracle`."""

import numpy as np
import pytest

agreement = pytest.importorskip("agreement", reason="needs gge-eval and cell-eval")
screens = pytest.importorskip("screens")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module", params=range(4))
def rows(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    if request.param < 2:
        return list(agreement.rows(screens.SIMULATED[request.param](folder)))
    source = request.getfixturevalue("real_data") / "papalexi.h5ad"
    return list(agreement.rows(screens.REAL[request.param - 2](folder, source)))


def test_values_agree_or_differ_for_a_stated_reason(rows):
    assert len(rows) > 30
    wrong = [
        (row.theirs, row.ours, row.difference)
        for row in rows
        if row.tolerance is not None
        and not np.isnan(row.values).any(axis=1).all()
        and row.difference > row.tolerance
    ]
    assert not wrong


def test_what_one_alone_leaves_undefined_has_a_reason(rows):
    for row in rows:
        one_alone = np.isnan(row.values[:, 0]) != np.isnan(row.values[:, 1])
        assert not one_alone.any() or "undefined" in row.reason, row.theirs


def test_something_was_compared(rows):
    """The gene sets of gge-eval's defaults are empty; all other rows have values."""
    empty = {row.ours for row in rows if np.isnan(row.values).any(axis=1).all()}
    assert empty <= {"gge_pearson_degs_default", "gge_spearman_degs_default"}


def test_an_unconverged_transport_is_too_cheap(rows):
    (row,) = (row for row in rows if row.theirs == "wasserstein_2")
    assert (row.values[:, 1] < row.values[:, 0]).all()


def test_the_document_has_every_row(rows, root):
    text = (root / "docs" / "evaluators-agreement.md").read_text()
    for row in rows:
        assert f"| `{row.theirs}` | `{row.ours}` |" in text
