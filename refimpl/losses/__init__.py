"""Losses whose answers are known, one file each, and minibatches as losses."""

from refimpl.losses.affine import Constant, Linear
from refimpl.losses.gaussian_mixture import GaussianMixture
from refimpl.losses.gaussian_wells import GaussianWells
from refimpl.losses.least_squares import LeastSquares
from refimpl.losses.minibatch import Resampled, minibatches
from refimpl.losses.quadratic import Quadratic
from refimpl.losses.quartic import Quartic
from refimpl.losses.trigonometric import Trigonometric

__all__ = [
    "Constant",
    "GaussianMixture",
    "GaussianWells",
    "LeastSquares",
    "Linear",
    "Quadratic",
    "Quartic",
    "Resampled",
    "Trigonometric",
    "minibatches",
]
