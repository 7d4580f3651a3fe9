"""pytorch_mppi as a subject: Algorithm 4 is a horizon of one step.

With u ~ N(0, tau I) added to a nominal control of 0, and the cost f(x + u), the command
is the mean of u with weights exp(-f(x + u)): what Algorithm 4 adds to x.

    verification run --subject pytorch_mppi_importance:Around
    verification run --subject pytorch_mppi_importance:Deviation
    verification run --subject pytorch_mppi_importance:FromZero
"""

from unittest.mock import patch

import torch
from pytorch_mppi import MPPI


def added(state, u):
    return state + u


class Around:
    """State x, nominal control 0; the command is added to x."""

    name = "pytorch_mppi, nominal control 0"
    power = 1.0  # of tau, in noise_sigma

    def mean_and_weights(
        self, loss, x, tau, samples, *, workers=1, draws=None, n=1, seed=None
    ):
        del workers  # one machine does it all
        torch.seed() if seed is None else torch.manual_seed(seed)
        if draws is None:
            return self.commands(loss, x, tau, samples, n)
        normals = iter(torch.from_numpy(draws)[:, :, None])  # (J, horizon, d) each
        with patch("torch.randn", lambda *shape, **_: next(normals).view(shape)):
            return self.commands(loss, x, tau, samples, len(draws))

    def commands(self, loss, x, tau, samples, n):
        state, nominal = self.placed(torch.from_numpy(x))
        controller = MPPI(
            added,
            lambda state, _: torch.from_numpy(loss(state.numpy())),
            nx=len(x),
            noise_sigma=tau**self.power * torch.eye(len(x), dtype=torch.float64),
            num_samples=samples,
            horizon=1,
            lambda_=1.0,
            U_init=nominal,
        )
        means, weights = [], []
        for _ in range(n):
            controller.U = nominal
            command = controller.command(state, shift_nominal_trajectory=False)
            means.append(state + command)
            weights.append(controller.omega)
        return torch.stack(means).numpy(), torch.stack(weights).numpy()

    def placed(self, x):
        return x, torch.zeros(1, len(x), dtype=x.dtype)

    def importance_mean(self, *given, **keywords):
        return self.mean_and_weights(*given, **keywords)[0]

    def importance_weights(self, *given, **keywords):
        return self.mean_and_weights(*given, **keywords)[1]


class Deviation(Around):
    """noise_sigma = sqrt(tau) I: it is a covariance, whatever its name."""

    name = "pytorch_mppi, noise_sigma = sqrt(tau) I"
    power = 0.5


class FromZero(Around):
    """State 0, nominal control x: the controls, being the points, cost something."""

    name = "pytorch_mppi, nominal control x"

    def placed(self, x):
        return torch.zeros_like(x), x[None]
