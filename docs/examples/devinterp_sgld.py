"""SGMCMC.sgld of devinterp as a subject: Algorithm 3, its pull called localization.

verification run --subject devinterp_sgld:Untempered
verification run --subject devinterp_sgld:Tempered
"""

from unittest.mock import patch

import numpy as np
import torch
from devinterp.optim import SGMCMC
from devinterp.utils import default_nbeta

torch.set_default_dtype(torch.float64)  # the noise has the default type, not p.dtype


class Untempered:
    """lr = eps, localization = 1/tau, nbeta = 1; a row of p is a replicate."""

    name = "devinterp, nbeta = 1"
    nbeta = 1.0

    def sgld_trace(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        rows = n if draws is None else len(draws)
        p = torch.from_numpy(x).repeat(rows, 1).requires_grad_()
        sgld = SGMCMC.sgld([p], nbeta=self.nbeta, localization=1 / tau)
        if start is not None:  # the pull stays with x, where the parameter was
            p.data[:] = torch.from_numpy(start)
        own = torch.Generator()
        own.seed() if seed is None else own.manual_seed(seed)
        normals = iter(() if draws is None else torch.from_numpy(draws).unbind(1))
        states = [p.detach().clone()]
        for eps in step_sizes[:-1]:
            p.grad = torch.from_numpy(
                loss.gradient(p.detach().numpy())
            )  # or backward()
            sgld.param_groups[0]["lr"] = eps
            if draws is None:
                sgld.step(noise_generator=own)
            else:
                with patch("torch.normal", lambda std, **_: std * next(normals)):
                    sgld.step()
            states.append(p.detach().clone())
        return torch.stack(states, dim=1).numpy()

    def sgld_mean(self, loss, x, tau, step_sizes, **keywords):
        trace = self.sgld_trace(loss, x, tau, step_sizes, **keywords)
        return np.average(trace, axis=1, weights=step_sizes)


class Tempered(Untempered):
    """nbeta as devinterp's warning advises for ten examples, 10/log(10)."""

    name = "devinterp, nbeta = n/log n"
    nbeta = default_nbeta(10)
