"""Every member of vcc2026 beside cell-eval2 0.20: `make test-oracle`."""

import numpy as np
import pytest

challenge = pytest.importorskip("challenge", reason="needs cell-eval2")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module", params=list(challenge.SCREENS))
def rows(request):
    folder = None if request.param == "made" else request.getfixturevalue("real_data")
    return challenge.rows(request.param, folder)


def test_every_value_is_theirs_to_float_precision(rows):
    wrong = {(row.prediction, row.member): row.difference for row in rows if row.difference > 1e-8}
    assert not wrong


def test_the_same_perturbations_are_undefined(rows):
    wrong = [(row.prediction, row.member) for row in rows if not row.same_undefined]
    assert not wrong


def test_values_were_compared(rows):
    for row in rows:
        assert np.isfinite(row.ours).any() or row.prediction != "half", row.member
