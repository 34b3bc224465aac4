"""Least squares that give the same numbers on every machine: products of whole numbers, whose sums are exact in any
order, then an elimination of single operations, instead of a library's."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Equations:
    """Normal equations of samples, weighted."""

    def __init__(self, rows: Floats, wanted: Floats, roots: Floats, reach_bits: int):
        """Rows (unknowns, samples) whose weighted sum should be what is wanted (samples,); `roots` (samples,) are of
        the samples' weights. What is wanted and rows, times roots, count as 2^reach_bits at most."""
        unknowns, samples = rows.shape
        bits = (52 - samples.bit_length()) // 2
        whole = np.empty((unknowns + 1, samples))
        roots = roots * 2.0 ** (bits - reach_bits)
        np.multiply(rows, roots, out=whole[:-1])
        np.multiply(wanted, roots, out=whole[-1])
        np.rint(whole, out=whole)
        np.clip(whole, -(2.0**bits), 2.0**bits, out=whole)
        # sums of so many products of two stay below 2^53
        products = (whole @ whole.T) * 2.0 ** (2 * (reach_bits - bits))
        self._products, self._wanted = products[:-1, :-1], products[:-1, -1]

    def solution(self, ridge: float, near: Floats, used: NDArray[np.bool_] | None = None) -> Floats:
        """The unknowns, drawn to others by a ridge; those that are not used are 0."""
        diagonal = self._products.diagonal()
        ridge += 1e-6 * math.fsum(diagonal) / len(diagonal)
        places = np.arange(len(near)) if used is None else np.flatnonzero(used)
        matrix = np.empty((len(places), len(places) + 1))
        matrix[:, :-1] = self._products[np.ix_(places, places)]
        matrix[np.diag_indices(len(places))] += ridge
        matrix[:, -1] = self._wanted[places] + ridge * near[places]
        found = np.zeros_like(near)
        found[places] = _eliminated(matrix)
        return found


def _eliminated(matrix: Floats) -> Floats:
    """The solution of equations (n, n + 1) whose left part is symmetric and positive definite."""
    for step in range(len(matrix)):
        matrix[step, step + 1 :] /= matrix[step, step]
        matrix[step + 1 :, step + 1 :] -= matrix[step + 1 :, step, None] * matrix[step, step + 1 :]
    found = matrix[:, -1].copy()
    for step in range(len(matrix) - 1, 0, -1):
        found[:step] -= matrix[:step, step] * found[step]
    return found
