"""Figure 3: the Gaussians nearest to a bimodal q, in both senses, exactly.

q is the law (6) of a mixture's surprisal, f = -log(0.6 N(-2.4, 1/4) + 0.4 N(2.4, 1/4)),
at the centre x_k = 0 for tau = 1/2: 0.6 N(-1.6, 1/6) + 0.4 N(1.6, 1/6).

    mean seeking    argmin D_KL(q || phi): its mean and variance are those of q
    mode seeking    argmin D_KL(phi || q): a minimiser near each mode

either over all Gaussians phi, as in the figure of the paper, or over phi_{x,tau}, as
step 2 of Algorithms 1 and 2 has it.
"""

from typing import Any

import numpy as np

from refimpl import quadrature, regularised
from refimpl.arrays import Array
from refimpl.errors import NotCertified
from refimpl.laws import Mixture, gaussian, phi
from refimpl.losses import GaussianMixture
from refimpl.regularised import divergence

WEIGHTS = (0.6, 0.4)
MEANS = (-2.4, 2.4)
VARIANCE = 0.25
CENTRE = 0.0
TAU = 0.5

GRID = np.linspace(-4, 4, 321)
"""Where densities are shown."""

X = np.linspace(-2.4, 2.4, 97)
"""Where divergences are shown, as functions of the mean of phi_{x,tau}."""

_MOST = 200  # Newton steps


def loss() -> GaussianMixture:
    """f, in one dimension."""
    covariances = [[[VARIANCE]]] * len(MEANS)
    return GaussianMixture(WEIGHTS, [[m] for m in MEANS], covariances)


def bimodal() -> Mixture:
    """q_{x,tau} of `loss`.

    A product of Gaussians, N(m, s) N(x, tau), is one of precision 1/s + 1/tau, with the
    weight N(x; m, s + tau).
    """
    f, wide = loss(), VARIANCE + TAU
    shift = f.means - CENTRE
    weights = f.weights * np.exp(-(shift[:, 0] ** 2) / (2 * wide))
    variances = np.full((len(MEANS), 1, 1), VARIANCE * TAU / wide)
    return Mixture(weights / weights.sum(), CENTRE + TAU / wide * shift, variances)


def mode_seeking(
    q: Mixture, mean: float, variance: float | None
) -> tuple[Array, Array]:
    """A local minimiser of D_KL(N(m, v) || q), the one near a mode.

    Up to a constant it is G(m, v) - log(v) / 2, G being the average of -log q over
    N(m, v).  Since dG/dv is half of G'' (by m), it is stationary where G' = 0 and
    v = 1 / G''; Newton's step for m is -G' / G''.

    Parameters
    ----------
    q : Mixture
        On the line.
    mean : float
        Where to begin.
    variance : float or None
        v, if it is given.

    Returns
    -------
    m, v : ndarray, shapes (1,) and (1, 1)

    Raises
    ------
    NotCertified
        If the steps do not settle.
    """
    m = np.array([mean])
    v = q.covariances[0] if variance is None else np.array([[variance]])
    for _ in range(_MOST):
        _, slope, bend = quadrature.gaussian_jet(q.surprisal, m, v)
        step = -slope / bend[0]
        wider = 1 / bend - v if variance is None else np.zeros((1, 1))
        m, v = m + step, v + wider
        if abs(step[0]) + abs(wider[0, 0]) <= 1e-13:
            return m, v
    raise NotCertified("Newton's method did not settle on a best Gaussian", m)


def figure_3() -> dict[str, Any]:
    """Both approximations, in both families, with their divergences."""
    f, q = loss(), bimodal()
    mean = regularised.posterior_mean(f, [CENTRE], TAU)
    spread = regularised.posterior_covariance(f, [CENTRE], TAU)
    rows = [
        _row("mean seeking", "all", mean, spread, q),
        _row("mean seeking", "tau", mean, np.array([[TAU]]), q),
    ]
    for family, variance in (("all", None), ("tau", TAU)):
        rows += [
            _row("mode seeking", family, *mode_seeking(q, start, variance), q)
            for start in q.means[:, 0]
        ]
    return {
        "loss": {"weights": WEIGHTS, "means": MEANS, "variance": VARIANCE},
        "centre": CENTRE,
        "tau": TAU,
        "q": {
            "weights": q.weights.tolist(),
            "means": q.means[:, 0].tolist(),
            "variances": q.covariances[:, 0, 0].tolist(),
        },
        "best": rows,
        "grid": GRID.tolist(),
        "density": np.exp(q.log_density(GRID[:, None])).tolist(),
        "x": X.tolist(),
        "mean_seeking": [divergence(q, phi([x], TAU)) for x in X],
        "mode_seeking": [divergence(phi([x], TAU), q) for x in X],
    }


def _row(sense: str, family: str, m: Array, v: Array, q: Mixture) -> dict[str, Any]:
    """One best Gaussian with its density on the grid."""
    best = gaussian(m, v)
    pair = (q, best) if sense == "mean seeking" else (best, q)
    return {
        "sense": sense,
        "family": family,
        "mean": float(m[0]),
        "variance": float(v[0, 0]),
        "divergence": divergence(*pair),
        "density": np.exp(best.log_density(GRID[:, None])).tolist(),
    }
