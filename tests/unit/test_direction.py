"""How much of the level a delta counts: only what telling perturbations apart is worth."""

import numpy as np
import pytest

from ptrag.arms.expert.direction import SHARES, fit_share
from ptrag.base.discrimination import discrimination


def draw(seed=0, n=40, n_genes=300, shrunk=0.3):
    """A line of perturbations of unlike strength, all with the same level; cautious predictions."""
    rng = np.random.default_rng(seed)
    level = np.tile(rng.normal(size=n_genes), (n, 1))
    strength = rng.uniform(0.2, 1.5, (n, 1))
    own = strength * rng.normal(size=level.shape)
    # the strong ones have more of the level, too
    measured = level * (0.5 + strength) + own + 2.0 * rng.normal(size=level.shape)
    return level, shrunk * own, own, measured


def told_apart(delta, measured):
    return discrimination(delta, measured, np.arange(len(delta)), "cosine").mean()


def test_the_whole_level_counts_where_no_simple_member_tells_more_apart():
    level, beyond, _, measured = draw(shrunk=1.0)
    line = np.zeros(len(level), int)
    poor = np.random.default_rng(1).normal(size=level.shape)
    assert fit_share(level, beyond, [poor, level], measured, line) == 1.0
    assert fit_share(level, beyond, [], measured, line) == 1.0


def test_less_counts_where_a_simple_member_does():
    level, beyond, own, measured = draw()
    line = np.zeros(len(level), int)
    share = fit_share(level, beyond, [own], measured, line)
    assert share < 1.0
    assert told_apart(share * level + beyond, measured) > told_apart(level + beyond, measured)


def test_nothing_beyond_the_level_leaves_it_whole():
    level, beyond, own, measured = draw()
    line = np.zeros(len(level), int)
    assert fit_share(level, 0 * beyond, [own], measured, line) == 1.0
    assert fit_share(0 * level, beyond, [own], measured, line) == 1.0
    alone = np.arange(len(level))  # no line has two
    assert fit_share(level, beyond, [own], measured, alone) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_scale_free(seed):
    level, beyond, own, measured = draw(seed)
    line = np.arange(len(level)) % 2
    share = fit_share(level, beyond, [own], measured, line)
    assert share in SHARES
    assert share == fit_share(3 * level, 3 * beyond, [7 * own], 3 * measured, line)
