"""How strong a real response is, freed of the noise of its own measurement."""

import numpy as np

from ptrag.evaluation.sides import Reference


def strengths(reference: Reference) -> np.ndarray:
    """Return how far each pair's real mean profile is from the yardstick controls'.

        s_i = sign(q_i) √|q_i|,   q_i = Σ_g [(x̄_ig − c̄_g)² − v_ig / n_i − v_cg / n_c],

    over the genes that are scored (not the perturbed one, where the settings leave it out): the
    squared length of the real delta less what sampling n_i cells and n_c controls of these
    variances adds to it, so that q_i is unbiased. It is negative where noise alone would be longer.

    Returns
    -------
    strengths
        (pairs,) on the log1p scale; NaN for one cell.
    """
    squared = np.array([_squared(reference, row) for row in range(len(reference.keys))])
    return np.sign(squared) * np.sqrt(np.abs(squared))


def _squared(reference: Reference, row: int) -> float:
    pair, (sample, _) = reference.keys[row], reference.measured[row]
    controls = reference.line(row).yardstick.moments
    noise = sample.variance / sample.n + controls.variance / controls.n
    excess = (sample.mean - controls.mean) ** 2 - noise
    return float(np.delete(excess, reference.targets(pair.perturbation)).sum())
