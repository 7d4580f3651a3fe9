"""blackjax.sgld as a subject: Algorithm 3.

verification run --subject jax_blackjax_sgld:Half
verification run --subject jax_blackjax_sgld:Whole
"""

from dataclasses import fields
from functools import partial
from secrets import randbits
from unittest.mock import patch

import blackjax
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)  # or declare dtype = "float32"


def quadratic(y, H, m, c):
    r = y - m
    return r @ (H @ r if jnp.ndim(H) == 2 else H * r) / 2 + c


def least_squares(y, A, b):
    return jnp.mean((A @ y - b) ** 2) / 2


NOISE = "blackjax.sgmcmc.diffusions.generate_gaussian_noise"
LOSSES = {f.__name__: f for f in (quadratic, least_squares)}


@partial(jax.jit, static_argnames="kind")
def states(kind, data, x, tau, step_sizes, start, keys):
    def log_density(y, _):  # of q, up to a constant; no minibatch
        return -LOSSES[kind](y, **data) - jnp.sum((y - x) ** 2) / (2 * tau)

    sgld = blackjax.sgld(jax.grad(log_density))

    def move(y, given):
        key, step_size = given
        y = sgld.step(key, y, None, step_size)
        return y, y

    def chain(keys):
        return jnp.vstack([start, jax.lax.scan(move, start, (keys, step_sizes))[1]])

    return jax.vmap(chain)(keys)


class Half:
    """A move adds step_size * grad log q + sqrt(2 step_size) z: step_size is eps/2."""

    name = "blackjax.sgld, step_size = eps/2"
    factor = 0.5

    def sgld_trace(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        if loss.kind not in LOSSES:
            raise NotImplementedError(f"written in JAX are only {', '.join(LOSSES)}")
        data = {field.name: getattr(loss, field.name) for field in fields(loss)}
        moves = self.factor * step_sizes[:-1]
        setting = (data, x, tau, moves, x if start is None else start)
        if draws is not None:  # taken for the keys, and given out as the noise
            with patch(NOISE, lambda z, _: z):
                return states(loss.kind, *setting, draws)
        rows = 1 << (n - 1).bit_length()  # compiled for few numbers of chains
        key = jax.random.key(randbits(63) if seed is None else seed)
        keys = jax.random.split(key, (rows, len(moves)))
        return states(loss.kind, *setting, keys)[:n]

    def sgld_mean(self, loss, x, tau, step_sizes, **keywords):
        trace = self.sgld_trace(loss, x, tau, step_sizes, **keywords)
        return np.average(trace, axis=1, weights=step_sizes)


class Whole(Half):
    """The step size of the paper's box handed over as it is."""

    name = "blackjax.sgld, step_size = eps"
    factor = 1.0
