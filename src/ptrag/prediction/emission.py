"""From a predicted profile to predicted cells: control cells whose counts change.

Cells are moved in expression and not in its logarithm: counts of a gene that falls are thinned,
those of a gene that rises gain others (:mod:`ptrag.prediction.count_model`), by the factor that
brings the mean log1p value of the line's control cells to the profile
(:mod:`ptrag.prediction.response_table`). Zeros, spread, library sizes and correlations of genes are
then the line's. docs/emission.md has how near the cells come to real ones.
"""

import numpy as np

from ptrag.base.random import keyed_rng
from ptrag.cells.counts import to_counts, to_log1p
from ptrag.prediction.count_model import CountModel
from ptrag.prediction.response_table import ResponseTable


class Emitter:
    """Makes cells of a predicted profile from the control cells of a line.

    Parameters
    ----------
    cells
        (n, G) control cells on the log1p scale.
    units
        (n,) what one count of each cell is worth, of :func:`ptrag.cells.counts.count_units`.
    sample
        Rows on which expression, dispersion and expectations rest.
    """

    def __init__(self, cells: np.ndarray, units: np.ndarray, sample: np.ndarray) -> None:
        self._cells, self._units = cells, units
        units = units[sample]
        counts = to_counts(cells[sample], units).astype(np.int64)
        self._model = CountModel.of(counts, units)
        self._table = ResponseTable(counts, units, self._model)

    def emit(
        self, delta: np.ndarray, rows: np.ndarray, *key: object, share: float = 1.0
    ) -> np.ndarray:
        """Return the cells (len(rows), G) float32 that control cells become.

        Parameters
        ----------
        delta
            (G,) predicted change of the mean log1p profile.
        rows
            The control cells they start from.
        key
            What the draw depends on, and nothing else: line and perturbation.
        share
            Of the cells that respond; the others stay as they are, and those that respond change
            by delta / share.
        """
        rng = keyed_rng("emission", *key)
        cells, units = np.asarray(self._cells[rows]), self._units[rows]
        counts = to_counts(cells, units).astype(np.int64)
        new = self._model.changed(counts, units, self._table.factor(delta / share), rng)
        if share < 1:
            new = np.where(rng.random((len(rows), 1)) < share, new, counts)
        return np.where(new == counts, cells, to_log1p(new, units))
