"""What the outputs of Algorithms 3, 4 and 5 are in law, where that is known.

A loss of constant curvature has the gradient s + H (y - x) around the centre x, with
s = grad f(x).  In the eigenbasis of H the coordinates u of y - x do not know of one
another, and every move of Algorithms 3 and 5 is affine, with Gaussian noise::

    Algorithm 3:  u <- u - epsilon/2 [(lambda + 1/tau) u + s] + N(0, epsilon),
    Algorithm 5:  u <- u - a [(1 + tau lambda) u + tau s] + a N(0, tau^3 lambda^2 / M).

So their outputs are exactly Gaussian, after any number of moves.  What a direction does
depends on its curvature lambda alone (`Response`): few different curvatures in
d = 10^5 cost no more than d = 1, and a flat direction is the one with lambda = 0.

The output of Algorithm 4 is a ratio of sums.  Let q_2, proportional to
exp(-2f) phi_{x,tau}, have mean mu_2 and covariance S_2; let mu be E_q X, and Z and Z_2
the masses of exp(-f) phi and exp(-2f) phi.  With rho = Z_2 / Z^2, to first order in
1/J::

    effective sample size:  J / rho,
    bias:  -rho/J (mu_2 - mu),
    covariance:  rho/J [S_2 + (mu_2 - mu)(mu_2 - mu)^T].

rho grows exponentially with d: the curse of dimension that section 5.1.2 names, here
as a number, and kept as a logarithm.

A minibatch is a loss: these laws hold given the minibatch, which must be one and the
same for all moves of the weight update.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from refimpl.arrays import (
    Array,
    as_array,
    as_choice,
    as_count,
    as_point,
    as_steps,
    as_variance,
    cholesky,
    require_finite,
)
from refimpl.errors import InvalidParameter, NoClosedForm, NonFinite, NotIntegrable
from refimpl.interfaces import Loss
from refimpl.losses._components import half_log_dets
from refimpl.losses._spectral import SpectralQuadratic
from refimpl.losses.affine import Linear
from refimpl.losses.gaussian_mixture import GaussianMixture
from refimpl.noise import Reading, as_reading, variance_of

Chain = Literal["literal", "new-states"]
Output = Literal["average", "controlled"]


@dataclass(frozen=True)
class Moments:
    """A mean and a covariance V diag(variances) V^T, which is formed on demand.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    variances : ndarray, shape (d,)
        Along the columns of V.
    basis : ndarray or None, shape (d, d)
        V, orthogonal; None for the identity.
    """

    mean: Array
    variances: Array
    basis: Array | None = None

    @property
    def covariance(self) -> Array:
        """The matrix, shape (d, d)."""
        return _matrix(self.variances, self.basis)

    @property
    def marginal_variances(self) -> Array:
        """The diagonal of the covariance, shape (d,), without forming the rest."""
        if self.basis is None:
            return self.variances
        return self.basis**2 @ self.variances


@dataclass(frozen=True)
class SGLDLaw:
    """The output of Algorithm 3 and the last state of its chain, jointly Gaussian.

    Attributes
    ----------
    output, last : Moments
        In the same basis V.
    between : ndarray, shape (d,)
        Covariances of the two along the columns of V; different columns are
        independent.
    """

    output: Moments
    last: Moments
    between: Array

    @property
    def cross_covariance(self) -> Array:
        """Cov(output, last), symmetric, shape (d, d)."""
        return _matrix(self.between, self.output.basis)


@dataclass(frozen=True)
class ImportanceLaw:
    """The output of Algorithm 4 to first order in 1/J.

    Attributes
    ----------
    J : int
        How many samples.
    mean : ndarray, shape (d,)
        E_q X, which the output tends to.
    log_rho : float
        log(Z_2 / Z^2), not negative.
    squares : Moments
        Of q_2, the law proportional to exp(-2f) phi.
    shift : ndarray, shape (d,)
        mu_2 - mu.
    """

    J: int
    mean: Array
    log_rho: float
    squares: Moments
    shift: Array

    @property
    def effective_sample_size(self) -> float:
        """J / rho."""
        return float(self.J * np.exp(-self.log_rho))

    @property
    def bias(self) -> Array:
        """-rho/J (mu_2 - mu), shape (d,)."""
        return self._scaled(-self.shift)

    @property
    def covariance(self) -> Array:
        """rho/J [S_2 + (mu_2 - mu)(mu_2 - mu)^T], shape (d, d)."""
        with np.errstate(over="ignore"):  # judged below
            outer = np.outer(self.shift, self.shift)
            return self._scaled(self.squares.covariance + outer)

    @property
    def marginal_variances(self) -> Array:
        """The diagonal of the covariance, shape (d,), without forming the rest."""
        with np.errstate(over="ignore"):  # judged below
            return self._scaled(self.squares.marginal_variances + self.shift**2)

    def _scaled(self, moment: Array) -> Array:
        """rho/J times a moment, refused where it is no number: `log_rho` always is."""
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            rate = np.exp(self.log_rho) / self.J
            scaled: Array = rate * moment
        if not rate < np.inf:
            raise NonFinite(
                f"rho/J overflows, log rho = {self.log_rho:g}: no number of samples "
                "would do, choose a smaller tau"
            )
        finite: Array = require_finite(scaled, "a moment of the output")
        return finite


@dataclass(frozen=True)
class Response:
    """What (output, last state) make of start, slope and noise, by direction.

    In a direction where the loss has slope s at x, with the start u_0 away from x,

        (output, last) = x + start u_0 + slope s + N(0, covariance).

    Attributes
    ----------
    start, slope : ndarray, shape (2, n)
        For each of n curvatures.
    covariance : ndarray, shape (2, 2, n)
    """

    start: Array
    slope: Array
    covariance: Array


# --- Algorithm 3 ----------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")  # judged here and in `_unrolled`
def langevin_response(
    curvatures: Any,
    tau: float,
    epsilon: Any,
    *,
    chain: Chain = "literal",
    noise: Reading = "variance",
    output: Output = "average",
) -> Response:
    """The linear system that Algorithm 3 is in directions of these curvatures.

    Parameters
    ----------
    curvatures : array_like, shape (n,)
        Eigenvalues lambda of H; 0 for a direction in which f does not bend.
    tau : float
        A variance.
    epsilon : array_like, shape (J,)
        Step sizes, as `refimpl.schedules.steps` gives them; variances of the noise.
    chain : {"literal", "new-states"}
        The reading of the box, see `refimpl.sgld`.
    noise : {"variance", "standard-deviation"}
        What epsilon_j is of the noise.
    output : {"average", "controlled"}
        Which estimate, see `refimpl.sgld`.

    Raises
    ------
    InvalidParameter
        For anything else than the above.
    NonFinite
        Where an unstable chain leaves the representable numbers.

    Examples
    --------
    A direction in which f is flat, two states, one move between them:

    >>> flat = langevin_response([0.0], tau=1.0, epsilon=[0.5, 0.5])
    >>> flat.start[:, 0]
    array([0.875, 0.75 ])
    >>> flat.covariance[..., 0]
    array([[0.125, 0.25 ],
           [0.25 , 0.5  ]])
    """
    curvatures = as_array("curvatures", curvatures, 1)
    epsilon = _steps("epsilon", epsilon)
    as_choice("chain", chain, get_args(Chain))
    as_choice("output", output, get_args(Output))
    moves = epsilon[:-1] if chain == "literal" else epsilon
    weights = epsilon if chain == "literal" else np.append(0.0, epsilon)
    pull = 1 / as_variance("tau", tau)
    mass = require_finite(epsilon.sum(), "the sum of the step sizes")
    variances = variance_of(moves, as_reading(noise))
    control = pull if output == "controlled" else None
    return _unrolled(
        curvatures + pull, moves / 2, variances, weights / mass, control=control
    )


@np.errstate(over="ignore", invalid="ignore")  # judged in `moved_by`
def sgld_law(
    f: Loss,
    x: Any,
    tau: float,
    epsilon: Any,
    *,
    start: Any = None,
    chain: Chain = "literal",
    noise: Reading = "variance",
    output: Output = "average",
) -> SGLDLaw:
    """The law of Algorithm 3's output and last state on a loss of constant curvature.

    Parameters
    ----------
    f : Loss
        `Quadratic`, `LeastSquares`, `Linear` or `Constant`.
    x : array_like, shape (d,)
        The centre, to which the chain is pulled.
    tau : float
        A variance.
    epsilon : array_like, shape (J,)
        Step sizes, as `refimpl.schedules.steps` gives them; variances of the noise.
    start : array_like, shape (d,), optional
        The chain's first state; the centre if not given.
    chain : {"literal", "new-states"}
        The reading of the box, see `refimpl.sgld`.
    noise : {"variance", "standard-deviation"}
        What epsilon_j is of the noise.
    output : {"average", "controlled"}
        Which estimate, see `refimpl.sgld`.

    Raises
    ------
    InvalidParameter
        For bad shapes, variances that are not positive, another chain.
    NoClosedForm
        For any other loss.
    NonFinite
        Where an unstable chain leaves the representable numbers.

    References
    ----------
    Algorithm 3 (E5).

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> from refimpl.schedules import Constant, steps
    >>> f = Quadratic(1.0, [0.0])  # E_q X = 1
    >>> law = sgld_law(f, [2.0], 1.0, steps(Constant(0.1), 4000))
    >>> law.output.mean.round(4), law.output.covariance.round(6)
    (array([1.0025]), array([[0.002491]]))
    """
    frame = _frame(f, x, tau)
    curvatures, which = np.unique(frame.curvatures, return_inverse=True)
    response = langevin_response(
        curvatures, tau, epsilon, chain=chain, noise=noise, output=output
    )
    mean, covariance = frame.moved_by(response, which, start)
    return SGLDLaw(
        Moments(mean[0], covariance[0, 0], frame.basis),
        Moments(mean[1], covariance[1, 1], frame.basis),
        covariance[0, 1],
    )


def sgld_walk(
    tau: float,
    epsilon: Any,
    updates: int,
    *,
    start: Literal["centre", "previous"] = "centre",
    chain: Chain = "literal",
    noise: Reading = "variance",
    output: Output = "average",
) -> Array:
    """The variance of x_k - x_0 over a run of Algorithm 1 by 3, where f is flat.

    There every update adds the noise of its output and nothing else: a random walk.

    Parameters
    ----------
    tau : float
        A variance.
    epsilon : array_like, shape (J,)
        Step sizes, variances of the noise.
    updates : int
        How many weight updates.
    start : {"centre", "previous"}
        Where the chain of an update starts: at x_k, or at its own last state.
    chain, noise, output
        As in `langevin_response`.

    Returns
    -------
    ndarray, shape (updates + 1,)
        For k = 0, 1, ...; of one direction.

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    References
    ----------
    Algorithm 3, section 5.1.1.

    Examples
    --------
    The paper's settings: each weight moves by 0.0235 in an update, and by 0.53 in 500.

    >>> from refimpl.schedules import Harmonic, steps
    >>> variance = sgld_walk(0.01, steps(Harmonic(1000.0), 1000), 500)
    >>> np.sqrt(variance[[1, 500]]).round(4)
    array([0.0235, 0.5255])
    """
    response = langevin_response(
        [0.0], tau, epsilon, chain=chain, noise=noise, output=output
    )
    as_choice("start", start, ("centre", "previous"))
    kept = response.start[:, 0] if start == "previous" else np.zeros(2)
    # (x, last) to (x, last): the centre x and what is kept of last - x
    A = np.array([1 - kept, kept]).T
    covariance, variances = np.zeros((2, 2)), [0.0]
    for _ in range(as_count("updates", updates, least=0)):
        covariance = A @ covariance @ A.T + response.covariance[:, :, 0]
        variances.append(float(covariance[0, 0]))
    return np.array(variances)


@np.errstate(over="ignore", invalid="ignore")  # judged here
def sgld_stationary_law(f: Loss, x: Any, tau: float, epsilon: float) -> Moments:
    """The Gaussian law that Algorithm 3's chain keeps, at a constant step size.

    With beta = lambda + 1/tau its mean is E_q X and its variance is
    1 / (beta (1 - epsilon beta / 4)), which is that of q times 1 + O(epsilon).

    Parameters
    ----------
    f : Loss
        `Quadratic`, `LeastSquares`, `Linear` or `Constant`.
    x : array_like, shape (d,)
    tau : float
        A variance.
    epsilon : float
        The step size, a variance.

    Raises
    ------
    InvalidParameter
        Unless epsilon beta < 4: the chain diverges.  `NotIntegrable` unless beta > 0.
    NoClosedForm
        For any other loss.

    References
    ----------
    Algorithm 3.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> law = sgld_stationary_law(Quadratic(1.0, [0.0]), [2.0], 1.0, 0.4)
    >>> law.mean, law.variances
    (array([1.]), array([0.625]))
    """
    frame = _frame(f, x, tau)
    epsilon = as_variance("epsilon", epsilon)
    beta = frame.curvatures + 1 / frame.tau
    if not beta.min() > 0:
        raise NotIntegrable(
            "there is no stationary law: I + tau H must be positive definite, but "
            f"tau = {frame.tau:g} and lambda_min(H) = {frame.curvatures.min():g}"
        )
    if not epsilon * beta.max() < 4:
        raise InvalidParameter(
            "there is no stationary law: the chain is stable where "
            "epsilon (lambda + 1/tau) < 4 for every eigenvalue lambda of H, but "
            f"epsilon = {epsilon:g} and lambda_max + 1/tau = {beta.max():g}"
        )
    variances = 1 / (beta * (1 - epsilon * beta / 4))
    mean = require_finite(frame.point(-frame.slope / beta), "the mean of the law")
    return Moments(mean, variances, frame.basis)


# --- Algorithm 5 ----------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")  # judged in `moved_by`
def robbins_monro_law(
    f: Loss,
    x: Any,
    tau: float,
    a: Any,
    M: int,
    *,
    start: Any = None,
    noise: Reading = "variance",
) -> Moments:
    """The Gaussian law of Algorithm 5's last state on a loss of constant curvature.

    Parameters
    ----------
    f : Loss
        `Quadratic`, `LeastSquares`, `Linear` or `Constant`.
    x : array_like, shape (d,)
        The centre x_k.
    tau : float
        A variance.
    a : array_like, shape (J,)
        Steps, as `refimpl.schedules.steps` gives them.
    M : int
        Samples of phi at each move.
    start : array_like, shape (d,), optional
        The first state; the centre if not given.
    noise : {"variance", "standard-deviation"}
        What tau is of the samples of phi.

    Raises
    ------
    InvalidParameter
        For bad shapes, a variance or step that is not positive, M < 1.
    NoClosedForm
        For any other loss.
    NonFinite
        Where an unstable run leaves the representable numbers.

    References
    ----------
    Algorithm 5 (E6, E7), (17).

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> law = robbins_monro_law(Quadratic(1.0, [0.0]), [2.0], 1.0, [0.5], M=10)
    >>> law.mean, law.covariance
    (array([1.]), array([[0.025]]))
    """
    frame = _frame(f, x, tau)
    a = _steps("a", a)
    curvatures, which = np.unique(frame.curvatures, return_inverse=True)
    t = frame.tau * curvatures
    unweighted = np.zeros(a.size + 1)  # only the last state is an output
    unit = _unrolled(1 + t, a, a * a, unweighted)
    spread = variance_of(frame.tau, as_reading(noise)) / as_count("M", M)
    response = Response(
        unit.start, frame.tau * unit.slope, t * t * spread * unit.covariance
    )
    mean, covariance = frame.moved_by(response, which, start)
    return Moments(mean[1], covariance[1, 1], frame.basis)


# --- Algorithm 4 ----------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")  # judged in `_finite`
def importance_law(f: Loss, x: Any, tau: float, J: int) -> ImportanceLaw:
    """Mean, bias and covariance of Algorithm 4's output, to first order in 1/J.

    Parameters
    ----------
    f : Loss
        `Quadratic`, `LeastSquares`, `Linear`, `Constant` or `GaussianMixture`: losses
        of which twice the loss has a closed form too.
    x : array_like, shape (d,)
    tau : float
        A variance.
    J : int
        How many samples; trust the answer where J is well above rho.

    Raises
    ------
    InvalidParameter
        For bad shapes, tau <= 0, J < 1.  `NotIntegrable` unless I + 2 tau H is positive
        definite: the weights have no variance.
    NoClosedForm
        For any other loss.

    Notes
    -----
    In the eigenbasis of H, with t = tau lambda and h = s / ((1 + t)(1 + 2t)),

        log rho = sum [tau s h + log(1 + t^2 / (1 + 2t)) / 2],
        mu_2 - mu = -tau h,    S_2 = tau / (1 + 2t).

    All terms of the sum are positive: nothing cancels.

    References
    ----------
    Algorithm 4, (16).

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> law = importance_law(Quadratic(1.0, [0.0]), [2.0], 1.0, J=4000)
    >>> law.mean, law.bias.round(6), law.covariance.round(6)
    (array([1.]), array([0.000187]), array([[0.00025]]))
    >>> round(law.effective_sample_size)
    1779
    """
    J = as_count("J", J)
    if isinstance(f, GaussianMixture):
        return _importance_on_a_mixture(f, as_point("x", x, f.d), tau, J)
    frame = _frame(f, x, tau)
    t = frame.tau * frame.curvatures
    once, twice = 1 + t, 1 + 2 * t
    if not twice.min() > 0:
        raise NotIntegrable(
            "the weights exp(-f) have infinite variance: I + 2 tau H must be positive "
            f"definite, but tau = {frame.tau:g} and "
            f"lambda_min(H) = {frame.curvatures.min():g}"
        )
    # the quotients first: no product is larger than what it is for
    pull = frame.tau * (frame.slope / once)
    shift = pull / twice
    log_rho = frame.slope @ shift + 0.5 * np.log1p(t * (t / twice)).sum()
    law = ImportanceLaw(
        J,
        frame.point(-pull),
        float(log_rho),
        Moments(
            frame.point(-2 * (frame.tau * (frame.slope / twice))),
            frame.tau / twice,
            frame.basis,
        ),
        frame.rotated_back(-shift),
    )
    return _finite(law)


def _importance_on_a_mixture(
    f: GaussianMixture, x: Array, tau: float, J: int
) -> ImportanceLaw:
    """exp(-f) phi is a mixture of K Gaussians, and exp(-2f) phi one of K^2."""
    tau = as_variance("tau", tau)
    phi = np.zeros(1), np.zeros((1, f.d)), tau * np.eye(f.d)[None]
    logs, offsets, _ = once = _times(f, x, *phi)
    logs_2, offsets_2, covariances_2 = _times(f, x, *once)
    mean, mean_2 = softmax(logs) @ offsets, softmax(logs_2) @ offsets_2
    r, apart = softmax(logs_2), offsets_2 - mean_2
    within = np.einsum("k,kij->ij", r, covariances_2)
    variances, basis = np.linalg.eigh(within + (r[:, None] * apart).T @ apart)
    law = ImportanceLaw(
        J,
        x + mean,
        float(logsumexp(logs_2) - 2 * logsumexp(logs)),
        Moments(x + mean_2, variances, basis),
        mean_2 - mean,
    )
    return _finite(law)


def _finite(law: ImportanceLaw) -> ImportanceLaw:
    require_finite(law.log_rho, "log rho")
    for vector in (law.mean, law.shift, law.squares.mean, law.squares.variances):
        require_finite(vector, "a moment of Algorithm 4")
    return law


def _times(
    f: GaussianMixture, x: Array, logs: Array, offsets: Array, covariances: Array
) -> tuple[Array, Array, Array]:
    """exp(-f) times a sum of n Gaussians, which is a sum of n K of them.

    Of each, its log-mass but for d log(2 pi) / 2, which is the same for all and cancels
    in rho, the offset of its mean from x, and its covariance: shapes (n,), (n, d) and
    (n, d, d).  With W = C + S_k, the product of N(x + o, C) and N(m_k, S_k) has mass
    N(x + o; m_k, W), mean x + o - C W^{-1} (x + o - m_k) and covariance C W^{-1} S_k.
    """
    C = covariances[:, None]
    W = C + f.covariances
    roots = cholesky("covariances", W)
    gaps = (x - f.means) + offsets[:, None]
    whitened = np.linalg.solve(roots, gaps[..., None])[..., 0]
    log_peaks = np.log(f.weights) - half_log_dets(roots)
    gain = np.swapaxes(np.linalg.solve(W, C), -1, -2)
    return (
        (logs[:, None] + log_peaks - 0.5 * (whitened**2).sum(axis=-1)).ravel(),
        (offsets[:, None] - np.einsum("nkij,nkj->nki", gain, gaps)).reshape(-1, f.d),
        (gain @ f.covariances).reshape(-1, f.d, f.d),
    )


# --- what they share ------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """A loss of constant curvature seen from x, in the eigenbasis of its Hessian."""

    x: Array  # (d,)
    tau: float
    slope: Array  # (d,) of the loss at x, in the basis
    curvatures: Array  # (d,)
    basis: Array | None  # (d, d), None for the identity

    def rotated_back(self, u: Array) -> Array:
        return u if self.basis is None else u @ self.basis.T

    def point(self, u: Array) -> Array:
        """The points at u (..., d) from x."""
        return self.x + self.rotated_back(u)

    def moved_by(
        self, response: Response, which: NDArray[np.intp], start: Any
    ) -> tuple[Array, Array]:
        """The mean points (2, d) and, in the basis, their covariances (2, 2, d)."""
        u = self.slope * response.slope[:, which]
        if start is not None:
            offset = as_point("start", start, self.x.size) - self.x
            u += response.start[:, which] * _rotated(offset, self.basis)
        mean = require_finite(self.point(u), "the mean of the law")
        covariance = response.covariance[..., which]
        return mean, require_finite(covariance, "the covariance of the law")


def _frame(f: Loss, x: Any, tau: float) -> _Frame:
    if isinstance(f, SpectralQuadratic):
        curvatures, basis = f.curvatures, f.basis
    elif isinstance(f, Linear):
        curvatures, basis = np.zeros(f.d), None
    else:
        raise NoClosedForm(
            f"the law of an output on {type(f).__name__}: it is known for losses of "
            "constant curvature, which are Quadratic, LeastSquares, Linear and "
            "Constant, and for Algorithm 4 on GaussianMixture as well"
        )
    x = as_point("x", x, f.d)
    slope = _rotated(f.gradient(x), basis)
    return _Frame(x, as_variance("tau", tau), slope, curvatures, basis)


def _unrolled(
    rates: Array,
    step: Array,
    noise: Array,
    weights: Array,
    *,
    control: float | None = None,
) -> Response:
    """sum_j weights_j u_j and the last u, for the recursion with J moves

        u_{j+1} = u_j - step_j (rate u_j + s) + N(0, noise_j),    j = 0, ..., J - 1,

    by the chain rule from the last move to the first: `reach` is what the two make of
    a unit that enters after a move.  All contributions to a variance are squares.

    With `control` the sum is that of u_j less a recursion with this rate, the same
    noise, no slope and no start: `shadow` is what that one makes of a unit.
    """
    reach = np.array([np.full(rates.size, weights[-1]), np.ones(rates.size)])
    slope, covariance = np.zeros((2, rates.size)), np.zeros((2, 2, rates.size))
    shadow = 0.0 if control is None else weights[-1]
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        for j in reversed(range(step.size)):
            met = reach - [[shadow], [0.0]]
            covariance += noise[j] * met[:, None] * met
            slope -= step[j] * reach
            reach *= 1 - step[j] * rates
            reach[0] += weights[j]
            if control is not None:
                shadow = shadow * (1 - step[j] * control) + weights[j]
    if not all(np.isfinite(part).all() for part in (reach, slope, covariance)):
        raise NonFinite(
            "the law of the output left the representable numbers: the steps are too "
            "large (Algorithm 3 is stable where epsilon (lambda + 1/tau) < 4, "
            "Algorithm 5 where a (1 + tau lambda) < 2)"
        )
    return Response(reach, slope, covariance)


def _steps(name: str, value: Any) -> Array:
    values = as_steps(name, value)
    if not values.size:
        raise InvalidParameter(f"{name} must hold at least one step")
    return values


def _rotated(v: Array, basis: Array | None) -> Array:
    return v if basis is None else v @ basis


def _matrix(diagonal: Array, basis: Array | None) -> Array:
    if basis is None:
        return np.diag(diagonal)
    return np.asarray((basis * diagonal) @ basis.T)
