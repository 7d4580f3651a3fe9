"""The subject without a fault."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from verification.mistakes.played import Played
from verification.truth import closed_forms as cf
from verification.truth import network, proximal, quadrature
from verification.truth.carriers import MP

__all__ = ["Truthful"]

CTX = MP(30)


@dataclass(frozen=True)
class Truthful(Played):
    """The truths, rounded once, as a subject: the ground that mistakes are planted in.

    Its samplers, and what is made of the functions here, are those of `Played`.
    """

    name: str = "truth"

    def local_entropy(self, loss: Any, x: Any, tau: float) -> float:
        if loss.kind in cf.LOCAL_ENTROPY:
            return float(cf.local_entropy(CTX, loss, list(x), tau))
        return float(quadrature.local_entropy(loss, x, tau).value)

    def local_entropy_gradient(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind in cf.LOCAL_ENTROPY:
            return _rounded(cf.local_entropy_gradient(CTX, loss, list(x), tau))
        return (np.asarray(x) - self.posterior_mean(loss, x, tau)) / tau

    def posterior_mean(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind in cf.LOCAL_ENTROPY:
            return _rounded(cf.posterior_mean(CTX, loss, list(x), tau))
        return _rounded(quadrature.posterior_moments(loss, x, tau)[0].value)

    def posterior_covariance(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind in cf.LOCAL_ENTROPY:
            return _rounded(cf.posterior_covariance(CTX, loss, list(x), tau))
        return _rounded(quadrature.posterior_moments(loss, x, tau)[1].value)

    def heat(self, loss: Any, x: Any, tau: float) -> float:
        if loss.kind in cf.HEAT:
            return float(cf.heat(CTX, loss, list(x), tau))
        return float(quadrature.heat(loss, x, tau).value)

    def heat_gradient(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind in cf.HEAT:
            return _rounded(cf.heat_gradient(CTX, loss, list(x), tau))
        return _rounded(quadrature.heat_gradient(loss, x, tau).value)

    def heat_proximal_point(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind == "gaussian_mixture" or (
            loss.d > 2 and loss.kind not in cf.QUADRATIC
        ):
            raise NotImplementedError("it would take minutes")
        return _rounded(proximal.proximal_points(loss, x, tau).points[0])

    def kl_gaussian(self, mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> float:
        lists = (np.asarray(part).tolist() for part in (mean0, cov0, mean1, cov1))
        return float(cf.kl_gaussian(CTX, *lists))

    def scoping(self, tau0: float, tau1: float, k: int) -> float:
        return float(cf.scoping(CTX, tau0, tau1, k))

    def network_loss_and_gradient(
        self, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> Any:
        loss = _network_of(tuple(sizes), images.tobytes(), images.shape, tuple(labels))
        y = np.asarray(parameters).tolist()
        value = float(network.value(CTX, loss, y))
        return value, _rounded(network.gradient(CTX, loss, y))


@lru_cache(maxsize=64)
def _network_of(
    sizes: Any, images: bytes, shape: tuple[int, int], labels: tuple[int, ...]
) -> Any:
    from verification.losses import Network

    return Network(sizes, np.frombuffer(images).reshape(shape), labels)


def _rounded(value: Any) -> Any:
    return np.array(value, dtype=object).astype(np.float64)
