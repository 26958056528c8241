"""What an expert without a source can no longer see, and what is left where it never saw it."""

from dataclasses import replace

import numpy as np
import pytest
from expert_cases import MIXTURE, make
from response_cases import draw_embedding

from ptrag.arms.expert.attribution import LEVEL, RESPONSES, SAME, SOURCES, TEXTS, without
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.stacking import Stack
from ptrag.retrieval.similarity import TextSimilarity


def held_out(expert):
    """Some pairs of the target line, measured there or not."""
    return [("b", name) for name in expert.responses.perturbations[:4]]


def with_weights(expert, weights):
    return replace(expert, stack=Stack(weights, expert.stack.slopes))


def test_without_its_level_the_rest_is_what_the_members_say_beyond_it():
    expert = make(slopes=True)
    expert.share = 0.8
    level = replace(with_weights(expert, {}), share=0.8)
    for pair in held_out(expert):
        rest = without(expert, LEVEL)(*pair)
        np.testing.assert_allclose(rest.delta, expert(*pair).delta - level(*pair).delta, atol=1e-12)
        assert not rest.origin.shared.any()
        np.testing.assert_array_equal(rest.origin.error, expert(*pair).origin.error)


def test_without_the_same_perturbation_its_responses_cannot_matter():
    expert = make(doubles=3)
    pair = held_out(expert)[0]
    genes = pair[1].split("+")
    rows = [
        i for i, entry in enumerate(expert.responses.pairs)
        if set(genes) & set(entry.perturbation.split("+"))
    ]  # fmt: skip
    assert rows
    delta, values = expert.responses.delta.copy(), expert.shrunken.values.copy()
    rng = np.random.default_rng(0)
    delta[rows] += rng.normal(0, 3, (len(rows), delta.shape[1]))
    values[rows] += rng.normal(0, 3, (len(rows), delta.shape[1]))
    responses = replace(expert.responses, delta=delta)
    spoilt = replace(
        expert, responses=responses,
        shrunken=Entries.shrunken(responses, values, expert.shrunken.noise),
    )  # fmt: skip
    assert np.abs(spoilt(*pair).delta - expert(*pair).delta).max() > 0.1
    np.testing.assert_allclose(
        without(spoilt, SAME)(*pair).delta, without(expert, SAME)(*pair).delta, atol=1e-10
    )


def test_without_texts_the_vectors_cannot_matter():
    expert = make()
    embedding = draw_embedding()
    rng = np.random.default_rng(1)
    other = replace(embedding, vectors=rng.normal(size=embedding.vectors.shape))
    spoilt = replace(expert, text=TextSimilarity(other, expert.responses.perturbations))
    for pair in held_out(expert):
        assert np.abs(spoilt(*pair).delta - expert(*pair).delta).max() > 1e-3
        np.testing.assert_allclose(
            without(spoilt, TEXTS)(*pair).delta, without(expert, TEXTS)(*pair).delta, atol=1e-10
        )


@pytest.mark.parametrize(
    ("source", "weights"),
    [
        (TEXTS, {"perturbation_mean": 0.5, "process": 0.3, "sparse_process": 0.2}),
        (RESPONSES, {"perturbation_mean": 0.5, "additive": 0.2, "ridge": 0.3}),
    ],
)
def test_an_expert_that_never_used_a_source_predicts_the_same_without_it(source, weights):
    expert = make(weights=weights)
    for pair in held_out(expert):
        np.testing.assert_array_equal(without(expert, source)(*pair).delta, expert(*pair).delta)


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation", "unseen_line"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_protocol_can_do_without_every_source(protocol, source):
    expert = make(protocol)
    before = expert(*held_out(expert)[0]).delta
    estimate = without(expert, source)(*held_out(expert)[0])
    assert np.isfinite(estimate.delta).all()
    assert expert.stack.weights == MIXTURE and np.array_equal(
        expert(*held_out(expert)[0]).delta, before
    )
