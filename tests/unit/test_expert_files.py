"""A fitted expert that is written and read: the same bits, and nothing fitted again."""

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert import components, fitting, spread, stacking, variances
from ptrag.arms.expert.files import read_expert, write_expert
from ptrag.arms.simple import ridge
from ptrag.base.errors import PtragError
from ptrag.retrieval import similarity


def fitted(**facts):
    """An expert on a small screen."""
    responses = draw_responses(seed=6, n_perturbations=20, n_genes=40, **facts)
    embedding = draw_embedding(20)
    neighbours = nearest(embedding, responses.perturbations)
    return fitting.fit_expert(responses, embedding, neighbours, {"topk_rag": 4})


FACTS = [
    {"target": "b"}, {"protocol": "unseen_perturbation"}, {"target": "b", "noise": 0.0},
]  # fmt: skip


@pytest.mark.parametrize("facts", FACTS)
def test_what_is_read_predicts_the_same_bits(tmp_path, monkeypatch, facts):
    original = fitted(**facts)
    write_expert(original, tmp_path / "expert.npz")

    def refuse(*arguments, **options):
        raise AssertionError("something is fitted again")

    for module, name in (
        (fitting, "fit_variances"), (fitting, "fit_stack"), (fitting, "fit_penalty"),
        (fitting, "shrunken"), (fitting, "fit_share"), (variances, "minimize"),
        (stacking, "nnls"), (spread, "nnls"),
        (ridge, "fit_penalty"), (components, "principal"), (similarity.np.linalg, "svd"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    again = read_expert(tmp_path / "expert.npz")
    for line in original.responses.lines:
        for name in ("P00", "P07", "P19", "never heard of"):
            one, other = original(line, name), again(line, name)
            np.testing.assert_array_equal(one.delta, other.delta)
            np.testing.assert_array_equal(one.sd, other.sd)
            np.testing.assert_array_equal(one.origin, other.origin)
            assert one.note == other.note
            for candidate, same in zip(one.candidates, other.candidates, strict=True):
                assert (candidate.name, candidate.weight) == (same.name, same.weight)
                np.testing.assert_array_equal(candidate.without, same.without)
    np.testing.assert_array_equal(original.leave_one_out(), again.leave_one_out())
    write_expert(again, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "expert.npz").read_bytes()


def test_a_file_that_holds_no_expert_is_an_error(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(PtragError, match=r"bad\.npz: holds no fitted expert; fit the arm again"):
        read_expert(tmp_path / "bad.npz")
    fitted(target="b").responses.write(tmp_path / "other.npz")
    with pytest.raises(PtragError, match=r"other\.npz: holds no fitted expert"):
        read_expert(tmp_path / "other.npz")
