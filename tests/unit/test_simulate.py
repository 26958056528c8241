import json
from collections import Counter

import anndata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.genes.symbols import Symbols
from ptrag.genes.text import encode_texts
from ptrag.simulate.cells import RESIDUAL, _efficacy_nodes, draw_cells, true_deltas
from ptrag.simulate.count_model import DISPERSION, DROPOUT, LIBRARY, draw_counts, expected_profile
from ptrag.simulate.knobs import KINDS, Knobs
from ptrag.simulate.screen import draw_screen, simulate_screen


@pytest.fixture(scope="module")
def make(request):
    """Make knobs of a small screen, with changes."""
    table = str(request.config.rootpath / "resources/gene_text.tsv.gz")

    def knobs(**more):
        given_ = {
            "lines": ("k562", "rpe1"),
            "n_perturbations": 12,
            "n_genes": 60,
            "cells_per_pair": 20,
            "controls_per_line": 40,
            "batches": 2,
            "text_signal": 0.8,
            "context_signal": 0.5,
            "systematic_shift": 0.5,
            "gene_text": table,
            "seed": 1,
        }
        return given_ | more

    return knobs


@pytest.fixture(scope="module")
def texts(make):
    """(P, P) similarities of the texts of the 80 perturbations that seed 1 draws."""
    screen = draw_screen(Knobs(**make(n_perturbations=80)))
    genes = Symbols.read(make()["gene_text"]).genes
    vectors = encode_texts([genes[name].text for name in screen.perturbations])
    return screen.perturbations, vectors @ vectors.T


def profile(counts):
    counts = counts.toarray() if sparse.issparse(counts) else counts
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


# --- the count model -------------------------------------------------------------------


def test_counts_have_the_mean_variance_and_zeros_of_the_model():
    fractions = np.array([0.0005, 0.01, 0.1, 0.8895])
    counts = draw_counts(np.tile(fractions, (200_000, 1)), np.random.default_rng(1))
    # By the laws of total mean and variance over library size and dropout, by sampling
    # the library alone.
    library = LIBRARY * np.exp(0.3 * np.random.default_rng(2).standard_normal((400_000, 1)))
    mean = library * fractions
    kept = 1 - DROPOUT / (1 + mean)
    first = (kept * mean).mean(axis=0)
    second = (kept * (mean + DISPERSION * mean**2 + mean**2)).mean(axis=0)
    np.testing.assert_allclose(counts.mean(axis=0), first, rtol=0.02)
    np.testing.assert_allclose(counts.var(axis=0), second - first**2, rtol=0.06)
    size = 1 / DISPERSION
    zero = (1 - kept * (1 - (size / (size + mean)) ** size)).mean(axis=0)
    np.testing.assert_allclose((counts == 0).mean(axis=0), zero, atol=0.005)


def test_expected_profile_agrees_with_sampling():
    rng = np.random.default_rng(3)
    fractions = np.exp(rng.normal(0, 1.5, (2, 80)))
    fractions /= fractions.sum(axis=1, keepdims=True)
    expected = expected_profile(fractions)
    drawn = [profile(draw_counts(np.tile(row, (60_000, 1)), rng)) for row in fractions]
    mean = np.array([d.mean(axis=0) for d in drawn])
    error = np.array([d.std(axis=0) for d in drawn]) / np.sqrt(60_000)
    assert (np.abs(mean - expected) < 5 * error + 0.004).all()
    # The difference of two profiles, which truth is made of, is sharper still.
    delta = (mean[1] - mean[0]) - (expected[1] - expected[0])
    assert (np.abs(delta) < 5 * np.hypot(*error) + 0.002).all()


@given(st.floats(0.05, 0.98))
def test_efficacy_nodes_have_the_moments_of_the_beta_law(mean):
    nodes, weights = _efficacy_nodes(mean)
    assert ((nodes > 0) & (nodes < 1)).all()
    a, b = 6 * mean, 6 * (1 - mean)
    moment = 1.0
    for order in range(1, 8):  # exact up to twice the nodes, less one
        moment *= (a + order - 1) / (a + b + order - 1)
        assert weights @ nodes**order == pytest.approx(moment, rel=1e-6)


# --- the truth -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_truth_is_what_many_cells_show(make, kind):
    sizes = {"n_perturbations": 4, "cells_per_pair": 6000, "controls_per_line": 12000}
    knobs = Knobs(**make(kind=kind, **sizes))
    screen = draw_screen(knobs)
    truth, cells = true_deltas(screen, knobs), draw_cells(screen, knobs)
    X = profile(cells.X)
    errors = []
    for line in knobs.lines:
        of = (cells.obs["cell_line"] == line).to_numpy()
        label = cells.obs["perturbation"].to_numpy()
        control = X[of & (label == CONTROL)]
        for name in screen.perturbations:
            treated = X[of & (label == name)]
            delta = treated.mean(axis=0) - control.mean(axis=0)
            noise = np.sqrt(treated.var(axis=0) / len(treated) + control.var(axis=0) / len(control))
            errors.append((delta - truth[f"{line}/{name}"].X.ravel()) / noise)
    errors = np.ravel(errors)
    # Standard normal up to the shares of batches and states that were drawn.
    assert abs(errors.mean()) < 0.3
    assert errors.std() < 1.2
    assert np.abs(errors).max() < 5


def test_target_gene_is_knocked_down_and_nothing_moves_without_cause(make):
    knobs = Knobs(**make(n_perturbations=24, n_genes=100))
    screen = draw_screen(knobs)
    truth = true_deltas(screen, knobs)
    own = [(name, name) for name in screen.perturbations if name in screen.genes]
    assert len(own) == 12
    for line in knobs.lines:
        for name, gene in own:
            at = screen.perturbations.index(name), screen.genes.index(gene)
            assert screen.log_change[knobs.lines.index(line)][at] == np.log(RESIDUAL)
            assert truth[f"{line}/{name}", gene].X.item() < 0


def test_families_share_the_term_that_names_them(make):
    screen = draw_screen(Knobs(**make(n_perturbations=83)))
    genes = Symbols.read(make()["gene_text"]).genes
    for name, term in zip(screen.perturbations, screen.family, strict=True):
        assert term in genes[name].process
    assert min(Counter(screen.family).values()) >= 8
    assert len(set(screen.perturbations)) == 83
    assert set(screen.genes) <= set(genes)


# --- the knobs -------------------------------------------------------------------------


def without_own(screen):
    """Directions of the responses with the perturbed genes masked."""
    change = screen.log_change.copy()
    masked = [gene in screen.perturbations for gene in screen.genes]
    change[:, :, masked] = 0
    return change / np.linalg.norm(change, axis=2, keepdims=True)


def test_systematic_shift_is_shared_within_a_line_and_differs_between_lines(make):
    direction = without_own(draw_screen(Knobs(**make(systematic_shift=1.0))))
    within = np.einsum("lpg,lqg->lpq", direction, direction)
    assert (within > 0.999).all()
    assert (direction[0, 0] @ direction[1, 0]) < 0.8
    # As much of a typical response is shared as the knob says: its cosine with the mean.
    direction = without_own(draw_screen(Knobs(**make(n_perturbations=80, systematic_shift=0.5))))
    mean = direction.mean(axis=1, keepdims=True)
    cosine = (direction * mean).sum(axis=2) / np.linalg.norm(mean, axis=2)
    assert 0.35 < cosine.mean() < 0.7


def test_context_signal_sets_how_lines_differ(make):
    def agreement(context):
        screen = draw_screen(Knobs(**make(context_signal=context, systematic_shift=0.0)))
        direction = without_own(screen)
        return (direction[0] * direction[1]).sum(axis=1).mean()

    assert agreement(0.0) == pytest.approx(1)
    assert agreement(0.0) > agreement(0.5) + 0.1 > agreement(1.0) + 0.2


def test_text_signal_moves_responses_and_neither_names_nor_families(make):
    screens = [draw_screen(Knobs(**make(text_signal=t))) for t in (0.0, 1.0)]
    assert screens[0].perturbations == screens[1].perturbations
    assert screens[0].family == screens[1].family
    assert screens[0].genes == screens[1].genes
    assert not np.allclose(screens[0].log_change, screens[1].log_change)


def similarity_of_responses(truth, n_lines):
    delta = truth.X.reshape(n_lines, -1, truth.n_vars)
    delta = delta - delta.mean(axis=1, keepdims=True)  # less what the line's responses share
    delta /= np.linalg.norm(delta, axis=2, keepdims=True)
    return np.einsum("lpg,lqg->pq", delta, delta) / n_lines


@pytest.mark.parametrize(
    ("signal", "low", "high"), [(0, -0.06, 0.06), (0.5, 0.1, 0.4), (1, 0.4, 1)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_texts_tell_of_responses_as_much_as_the_knob_says(make, texts, kind, signal, low, high):
    knobs = Knobs(**make(n_perturbations=80, n_genes=200, text_signal=signal, kind=kind))
    names, near = texts
    screen = draw_screen(knobs)
    assert screen.perturbations == names
    alike = similarity_of_responses(true_deltas(screen, knobs), 2)
    pairs = np.triu_indices(80, 1)
    assert low < np.corrcoef(near[pairs], alike[pairs])[0, 1] < high


@pytest.mark.parametrize(("signal", "low", "high"), [(0, -0.07, 0.07), (1, 0.15, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_by_text_foretell_the_response_only_where_the_text_does(
    make, texts, kind, signal, low, high
):
    knobs = Knobs(**make(n_perturbations=80, n_genes=200, text_signal=signal, kind=kind))
    truth = true_deltas(draw_screen(knobs), knobs).X.reshape(2, 80, -1)
    near = texts[1] - 2 * np.eye(80)
    shuffled = np.random.default_rng(5).permutation(80)

    def quality(near):
        neighbours = np.argsort(-near, axis=1)[:, :5]
        return np.mean(
            [
                np.corrcoef(line[chosen].mean(axis=0), line[i])[0, 1]
                for line in truth
                for i, chosen in enumerate(neighbours)
            ]
        )

    assert low < quality(near) - quality(near[shuffled][:, shuffled]) < high


# --- the files -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_labelled_whole_and_the_same_for_a_seed(make, tmp_path, kind):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        knobs = make(seed=seed, lines=["k562", "rpe1"], kind=kind)
        simulate_screen(knobs, tmp_path / folder / "s.h5ad", tmp_path / folder / "t.h5ad")
    for name in ("s.h5ad", "t.h5ad"):
        first, again, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert first == again
        assert first != other
    cells, truth = (anndata.read_h5ad(tmp_path / "a" / f"{name}.h5ad") for name in "st")
    for data in (cells, truth):
        assert bool(data.uns["simulated"]) is True
        simulation = json.loads(data.uns["simulation"])
        assert (simulation["text_signal"], simulation["kind"]) == (0.8, kind)
        assert list(data.var_names) == sorted(data.var_names)
    assert list(cells.obs.columns) == ["perturbation", "cell_line", "batch"]
    assert (cells.obs["perturbation"] == CONTROL).sum() == 80
    counts = cells.obs.groupby(["cell_line", "perturbation"], observed=True).size()
    assert len(counts) == 2 * 13
    assert counts.drop(CONTROL, level=1).between(5, 45).all()
    assert cells.obs.groupby("batch", observed=True)["cell_line"].nunique().eq(1).all()
    assert (cells.X.data == np.round(cells.X.data)).all()
    assert truth.shape == (24, 60)
    assert np.isfinite(truth.X).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text_signal": 1.5}, r"simulate\.text_signal: 1\.5 is not between 0 and 1"),
        ({"batches": 0}, r"simulate\.batches"),
        ({"n_perturbations": 1}, "at least 1 line, 2 perturbations"),
        ({"n_perturbations": 5000}, r"simulate\.n_perturbations: 5000 is too many"),
        ({"n_genes": 99999}, r"simulate\.n_genes: 99999 is more than"),
        ({"kind": "netwrok"}, "did you mean 'network'"),
        ({"n_doubles": 3}, r"simulate\.n_doubles: 3, but kind 'programmes'"),
        ({"kind": "network", "n_doubles": 67}, "not between 0 and the 66 pairs"),
    ],
)
def test_impossible_knobs_are_named(make, tmp_path, change, said):
    with pytest.raises(PtragError, match=said):
        simulate_screen(make(**change), tmp_path / "s.h5ad", tmp_path / "t.h5ad")
    assert not list(tmp_path.iterdir())
