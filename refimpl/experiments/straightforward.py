"""Algorithms 3, 4 and 5 as a user would first write them, for `benchmark` to beat.

Loops over samples, one parameter vector at a time, NumPy's own normals; no blocks, no
kernels, nothing reduced.  `f` is a `refimpl.network.Network` with ``compiled=False``.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from refimpl.arrays import Array
from refimpl.experiments.threads import one_torch_thread
from refimpl.interfaces import Loss

Rng = np.random.Generator


def generator() -> Rng:
    """NumPy's default."""
    return np.random.default_rng(1)


def sgd(f: Loss, x: Array, eta: float) -> Array:
    """One step of stochastic gradient descent."""
    return np.asarray(x - eta * f.gradient(x))


def sgld(f: Loss, x: Array, tau: float, epsilon: Array, rng: Rng) -> Array:
    """Algorithm 3."""
    y, total = x, epsilon[0] * x
    for eps, weight in pairwise(epsilon):
        noise = rng.standard_normal(x.size)
        y = y - eps / 2 * (f.gradient(y) - (x - y) / tau) + np.sqrt(eps) * noise
        total = total + weight * y
    return np.asarray(total / epsilon.sum())


def importance(f: Loss, x: Array, tau: float, J: int, rng: Rng) -> Array:
    """Algorithm 4, the weights divided by exp(-f(x))."""
    shift, mass, total = f(x), np.zeros(()), np.zeros_like(x)
    for _ in range(J):
        sample = x + np.sqrt(tau) * rng.standard_normal(x.size)
        w = np.exp(shift - f(sample))
        mass, total = mass + w, total + w * sample
    return np.asarray(total / mass)


def robbins_monro(f: Loss, x: Array, tau: float, a: Array, M: int, rng: Rng) -> Array:
    """Algorithm 5."""
    y = x
    for a_j in a:
        mean = np.zeros_like(x)
        for _ in range(M):
            mean += f.gradient(y + np.sqrt(tau) * rng.standard_normal(x.size)) / M
        y = y - a_j * (y - x + tau * mean)
    return y


class Torch:
    """The same in PyTorch, eager, float32, with its automatic gradients.

    Parameters
    ----------
    sizes : tuple of int
    images : ndarray, shape (B, inputs)
    labels : ndarray of int, shape (B,)
    x : ndarray, shape (d,)
        The weights, `refimpl.network`'s order; ReLU network.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    """

    def __init__(
        self, sizes: tuple[int, ...], images: Array, labels: Any, x: Array
    ) -> None:
        import torch

        self._torch = torch
        one_torch_thread(torch)
        self._images = torch.tensor(images, dtype=torch.float32)
        self._labels = torch.tensor(labels)
        self.x, start = [], 0
        for m, n in pairwise(sizes):
            for shape in ((m, n), (n,)):
                size = int(np.prod(shape))
                part = x[start : start + size].reshape(shape)
                self.x.append(torch.tensor(part, dtype=torch.float32))
                start += size

    def _loss(self, y: list[Any]) -> Any:
        A = self._images
        for W, b in zip(y[:-2:2], y[1:-2:2], strict=True):
            A = (A @ W + b).relu()
        logits = A @ y[-2] + y[-1]
        return self._torch.nn.functional.cross_entropy(logits, self._labels)

    def _gradient(self, y: list[Any]) -> Any:
        leaves = [part.detach().requires_grad_() for part in y]
        return self._torch.autograd.grad(self._loss(leaves), leaves)

    def sgd(self, eta: float) -> list[Any]:
        """One step of stochastic gradient descent."""
        gradient = self._gradient(self.x)
        return [x - eta * g for x, g in zip(self.x, gradient, strict=True)]

    def sgld(self, tau: float, epsilon: Array) -> list[Any]:
        """Algorithm 3."""
        y = [x.clone() for x in self.x]
        total = [float(epsilon[0]) * x for x in self.x]
        for eps, weight in pairwise(epsilon.tolist()):
            for p, g, x, t in zip(y, self._gradient(y), self.x, total, strict=True):
                noise = self._torch.randn_like(p)
                p += -eps / 2 * (g - (x - p) / tau) + eps**0.5 * noise
                t += weight * p
        return [t / float(epsilon.sum()) for t in total]

    def importance(self, tau: float, J: int) -> list[Any]:
        """Algorithm 4, the weights divided by exp(-f(x))."""
        with self._torch.no_grad():
            shift, mass = self._loss(self.x), 0.0
            total = [self._torch.zeros_like(x) for x in self.x]
            for _ in range(J):
                y = [x + tau**0.5 * self._torch.randn_like(x) for x in self.x]
                w = (shift - self._loss(y)).exp()
                mass = mass + w
                for t, p in zip(total, y, strict=True):
                    t += w * p
            return [t / mass for t in total]

    def robbins_monro(self, tau: float, a: Array, M: int) -> list[Any]:
        """Algorithm 5."""
        y = [x.clone() for x in self.x]
        for a_j in a.tolist():
            mean = [self._torch.zeros_like(x) for x in self.x]
            for _ in range(M):
                z = [p + tau**0.5 * self._torch.randn_like(p) for p in y]
                for m, g in zip(mean, self._gradient(z), strict=True):
                    m += g / M
            for p, x, m in zip(y, self.x, mean, strict=True):
                p -= a_j * (p - x + tau * m)
        return y
