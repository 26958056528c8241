"""The support score by hand, and what it promises."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptrag.evaluation.support import support

EVIDENCE = [
    "cell_line", "perturbation", "candidate", "rank", "similarity", "gate", "effect",
]  # fmt: skip
PAIRS = pd.DataFrame({"cell_line": ["k562", "k562"], "perturbation": ["TP53", "MYC"]})
ENTRIES = pd.DataFrame({
    "cell_line": ["rpe1", "rpe1", "hepg2"], "perturbation": ["TP53", "ATM", "ATM"],
    "reliability": [0.9, 0.4, 0.8],
})  # fmt: skip


def table(*rows):
    return pd.DataFrame([("k562", *row) for row in rows], columns=EVIDENCE)


def test_by_hand():
    evidence = table(
        ("TP53", "TP53 in rpe1", 1, np.nan, 0.5, 3.0), ("TP53", "ATM", 2, 0.5, 0.5, 1.0),
        ("TP53", "UNSEEN", 3, 0.9, 0.5, 0.0),
    )  # fmt: skip
    expected = (3 * 1 * 0.9 + 1 * 0.5 * 0.6) / 4
    np.testing.assert_allclose(support(PAIRS, evidence, ENTRIES), [expected, 0])


def test_without_retrieval_there_is_none_and_without_candidates_zero():
    assert np.isnan(support(PAIRS, table(), ENTRIES)).all()
    nothing = table(("TP53", None, np.nan, np.nan, np.nan, np.nan))
    np.testing.assert_array_equal(support(PAIRS, nothing, ENTRIES), [0, 0])


CANDIDATES = st.lists(
    st.tuples(st.sampled_from(["ATM", "ATM in rpe1", "TP53"]), st.floats(-1, 1), st.floats(0, 9)),
    min_size=1, max_size=5,
)  # fmt: skip


@given(CANDIDATES, st.data())
def test_between_0_and_1_and_never_less_for_a_nearer_candidate(candidates, data):
    def score(its):
        rows = [("TP53", c, i, s, 0.5, e) for i, (c, s, e) in enumerate(its)]
        return support(PAIRS, table(*rows), ENTRIES)[0]

    before = score(candidates)
    assert 0 <= before <= 1
    i = data.draw(st.integers(0, len(candidates) - 1))
    name, similarity, effect = candidates[i]
    nearer = [*candidates[:i], (name, min(similarity + 0.2, 1), effect), *candidates[i + 1 :]]
    assert score(nearer) >= before - 1e-12


@pytest.mark.parametrize("better", [0.5, 0.95])
def test_never_less_for_a_better_measurement(better):
    evidence = table(("TP53", "ATM", 1, 0.5, 0.5, 1.0))
    improved = ENTRIES.assign(reliability=ENTRIES["reliability"].clip(lower=better))
    assert support(PAIRS, evidence, improved)[0] >= support(PAIRS, evidence, ENTRIES)[0]
