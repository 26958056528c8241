"""The conventions of other packages by hand; `make test-oracle` holds them to the packages."""

import numpy as np
import pytest

from ptrag.metrics.compat import CELL_EVAL, DEGs, discrimination_score, log2_fold


def degs(predicted, real, predicted_fold, real_fold):
    folds = (np.array(fold, np.float32) for fold in (predicted_fold, real_fold))
    return DEGs(np.array(predicted, bool), np.array(real, bool), *folds, np.zeros(len(real)))


def test_precision_takes_only_as_many_real_degs_as_are_predicted():
    """K = 2 predicted; of the 4 real ones the 2 largest count, one of which is predicted."""
    both = degs([1, 0, 0, 1, 0], [1, 1, 1, 1, 0], [3, 0, 0, 1, 0], [5, 4, 2, 1, 0])
    assert CELL_EVAL["precision_at_N"](both) == 0.5
    assert CELL_EVAL["precision_at_50"](both) == 0.5
    more = degs([1, 1, 1, 1, 1], [1, 0, 0, 1, 0], [3, 2, 2, 1, 1], [5, 0, 0, 1, 0])
    assert CELL_EVAL["precision_at_N"](more) == pytest.approx(2 / 5)  # of 5, as a precision is


def test_precision_of_empty_sets():
    assert CELL_EVAL["precision_at_N"](degs([0, 0], [1, 0], [0, 0], [1, 0])) == 0
    assert np.isnan(CELL_EVAL["precision_at_N"](degs([1, 0], [0, 0], [1, 0], [0, 0])))


@pytest.mark.parametrize(("predicted", "expected"), [([1, 2], 1), ([2, 1], -1), ([1, 1], 0)])
def test_two_degs_have_a_rank_correlation(predicted, expected):
    pair = degs([0, 0, 0], [1, 1, 0], [*predicted, 9], [3, 4, 0])
    assert CELL_EVAL["de_spearman_lfc_sig"](pair) == expected


def test_a_gene_without_counts_on_either_side_has_not_changed():
    fold = log2_fold(np.array([0.0, 0.0, 1.0, np.log1p(3)]), np.array([0.0, 1.0, 0.0, np.log1p(6)]))
    np.testing.assert_array_equal(fold, [0, -np.inf, np.inf, -1])
    # so it lies between genes that fall and genes that rise
    pair = degs([0] * 4, [1] * 4, fold, [1, 0, 3, 0.5])
    assert CELL_EVAL["de_spearman_lfc_sig"](pair) == 1


def test_discrimination_divides_by_all_and_leaves_out_the_own_target_alone():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(6, 9))
    predicted = real + rng.normal(size=(6, 9))
    targets = [np.array([i]) for i in range(6)]
    scores = discrimination_score(predicted, real, np.arange(6), "l1", targets)
    for i, score in enumerate(scores):
        d = np.abs(np.delete(predicted[i] - real, i, axis=1)).sum(axis=1)
        assert score == pytest.approx(1 - (d < d[i]).sum() / 6)
