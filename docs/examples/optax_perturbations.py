"""optax.perturbations.make_perturbed_fun as a subject: the samples of Algorithm 5.

A perturbed function is a Monte Carlo estimate of heat, tau = sigma^2; of the gradient
of f it is the average over M samples within (17), whose law is known exactly.

    verification run --subject optax_perturbations:Normals
    verification run --subject optax_perturbations:Gumbels
    verification run --subject optax_perturbations:Scores
"""

from dataclasses import fields
from functools import partial
from secrets import randbits

import jax
import jax.numpy as jnp
from optax.perturbations import Normal, make_perturbed_fun

jax.config.update("jax_enable_x64", True)  # or declare dtype = "float32"


def quadratic(y, H, m, c):
    r = y - m
    return r @ (H @ r if jnp.ndim(H) == 2 else H * r) / 2 + c


def trigonometric(y, amplitude, frequency, phase, H, m, c):
    return amplitude @ jnp.cos(frequency @ y + phase) + quadratic(y, H, m, c)


LOSSES = {f.__name__: f for f in (quadratic, trigonometric)}


@partial(jax.jit, static_argnames=("kind", "gradient", "samples"))
def states(kind, gradient, samples, data, x, tau, step_sizes, start, keys):
    slope = gradient(partial(LOSSES[kind], **data), samples, jnp.sqrt(tau))

    def move(y, given):
        key, a = given
        y = y - a * (y - x + tau * slope(key, y))
        return y, y

    def descent(key):
        moves = jax.random.split(key, len(step_sizes)), step_sizes
        return jnp.vstack([start, jax.lax.scan(move, start, moves)[1]])

    return jax.vmap(descent)(keys)


class Normals:
    """The gradient of f, perturbed by normals of standard deviation sqrt(tau)."""

    name = "optax, gradient of f, noise=Normal()"

    @staticmethod
    def gradient(f, samples, sigma):
        return make_perturbed_fun(jax.grad(f), samples, sigma, Normal())

    def robbins_monro_trace(
        self,
        loss,
        x,
        tau,
        step_sizes,
        inner_samples,
        *,
        start=None,
        draws=None,
        n=1,
        seed=None,
    ):
        if draws is not None:
            raise NotImplementedError("optax draws its own noise")
        if loss.kind not in LOSSES:
            raise NotImplementedError(f"written in JAX are only {', '.join(LOSSES)}")
        data = {field.name: getattr(loss, field.name) for field in fields(loss)}
        key = jax.random.key(randbits(63) if seed is None else seed)
        keys = jax.random.split(key, 1 << (n - 1).bit_length())  # few sizes to compile
        start = x if start is None else start
        setting = (data, x, tau, step_sizes, start, keys)
        return states(loss.kind, self.gradient, inner_samples, *setting)[:n]

    def robbins_monro(self, *given, **keywords):
        return self.robbins_monro_trace(*given, **keywords)[:, -1]


class Gumbels(Normals):
    """The default noise, of mean 0.58 and variance 1.64."""

    name = "optax, gradient of f, the default noise"

    @staticmethod
    def gradient(f, samples, sigma):
        return make_perturbed_fun(jax.grad(f), samples, sigma)


class Scores(Normals):
    """The gradient of the perturbed f, of the same mean, but made of values of f."""

    name = "optax, gradient of the perturbed f, noise=Normal()"

    @staticmethod
    def gradient(f, samples, sigma):
        return jax.grad(make_perturbed_fun(f, samples, sigma, Normal()), argnums=1)
