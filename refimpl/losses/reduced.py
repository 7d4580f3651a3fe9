"""A loss that sees part of the parameter space only, as a function of that part.

f(y) = g(V^T y), V having orthonormal columns.  The parameters begin with a matrix
W (n, width), row by row, of which f sees Q^T W, and all others are seen::

    V^T y = [Q^T W, others].
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from refimpl.arrays import Array, frozen
from refimpl.interfaces import Loss

NEGLIGIBLE = 1e-13
"""A direction counts as seen if it makes more than this share of the features.

Rounding leaves 1e-15 of a repeated row.  One direction too many costs time and no
accuracy, because it is orthogonal to the others whatever it holds.
"""


@dataclass(frozen=True, eq=False)
class Reduced:
    """A loss on what another one sees.

    Attributes
    ----------
    loss : Loss
        g, of V^T y.
    Q : ndarray, shape (n, r)
        Orthonormal columns.
    width : int
        Columns of W; W has n rows.
    """

    loss: Loss
    Q: Array
    width: int

    @property
    def _cuts(self) -> tuple[int, int]:
        """Where W and Q^T W end in y and in V^T y."""
        n, r = self.Q.shape
        return n * self.width, r * self.width

    def project(self, y: Array) -> Array:
        """V^T y, (..., d) to (..., m)."""
        cut, small = self._cuts
        return self._rotated(self.Q.T, y, cut, small)

    def embed(self, s: Array) -> Array:
        """V s, (..., m) to (..., d)."""
        small, cut = self._cuts[::-1]
        return self._rotated(self.Q, s, small, cut)

    def with_seen(self, y: Array, s: Array) -> Array:
        """y with what is seen of it replaced by s: y + V (s - V^T y), (..., d)."""
        moved: Array = self.embed(s - self.project(y))
        moved += y
        return moved

    def _rotated(self, M: Array, v: Array, cut: int, cut_after: int) -> Array:
        batch = v.shape[:-1]
        result = np.empty((*batch, v.shape[-1] - cut + cut_after))
        W = v[..., :cut].reshape(*batch, -1, self.width)
        result[..., :cut_after] = (M @ W).reshape(*batch, cut_after)
        result[..., cut_after:] = v[..., cut:]
        return result


def row_space(X: Array) -> tuple[Array, Array]:
    """An orthonormal basis Q (n, r) of the row space of X (N, n), and X Q (N, r).

    By QR with pivoting, r being at least 1: repeated, zero and dependent rows add
    nothing.
    """
    Q, R, order = qr(X.T, mode="economic", pivoting=True)
    size = np.abs(np.diagonal(R))
    r = max(1, int(np.count_nonzero(size > NEGLIGIBLE * size[0])))
    seen = np.empty((len(X), r))
    seen[order] = R[:r].T
    return frozen(np.ascontiguousarray(Q[:, :r])), frozen(seen)
