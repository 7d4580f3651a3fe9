"""Entropy-SGD, an optimiser in PyTorch, as a subject: Algorithm 3.

The moves restate those of the optimiser of github.com/ucla-vision/entropy-sgd; there
the inner step 0.1 and the RATE are constants, and mw is what is called mean here.

    verification run --subject pytorch_entropy_sgd:Declared
    verification run --subject pytorch_entropy_sgd:Undeclared
    verification run --subject pytorch_entropy_sgd:Scoped
"""

import torch


class EntropySGD(torch.optim.Optimizer):
    """Goes from the weights w to, for lr = 1, the average of a Langevin chain."""

    RATE = 0.25

    def __init__(self, params, inner_lr, eps=1e-4, g0=1e-2, g1=0.0, lr=1.0):
        super().__init__(params, {"lr": lr})
        self.inner_lr, self.eps, self.g0, self.g1, self.t = inner_lr, eps, g0, g1, 0

    def gamma(self):
        return self.g0 * (1 + self.g1) ** self.t  # t stays 0: nothing advances it

    @torch.no_grad()
    def step(self, closure, noise, start=None):
        group = self.param_groups[0]
        (w,) = group["params"]
        centre = w.clone()
        if start is not None:  # the judge's; the optimiser's chains start at the centre
            w.copy_(start)
        mean = w.clone()
        for h in self.inner_lr:
            closure()
            pull = self.gamma() * (centre - w)
            w -= h * (w.grad - pull + self.eps / (h / 2) ** 0.5 * noise())
            mean.lerp_(w, self.RATE)
        w.copy_(centre - group["lr"] * (centre - mean))


class Undeclared:
    """Inner steps eps/2, g0 = 1/tau and noise eps = 1; a row of w is a replicate."""

    name = "Entropy-SGD in PyTorch"

    def sgld_mean(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        first = None if start is None else torch.from_numpy(start)
        rows = n if draws is None else len(draws)
        w = torch.from_numpy(x).repeat(rows, 1).requires_grad_()
        own = torch.Generator()
        own.seed() if seed is None else own.manual_seed(seed)
        given = None if draws is None else iter((-torch.from_numpy(draws)).unbind(1))

        def noise():  # added to the gradient, which is subtracted: hence the minus
            if given is not None:
                return next(given)
            return torch.randn(w.shape, generator=own, dtype=w.dtype)

        def closure():  # or your own loss, and loss.backward()
            w.grad = torch.from_numpy(loss.gradient(w.detach().numpy()))

        optimiser = EntropySGD([w], step_sizes[:-1] / 2, eps=1.0, g0=1 / tau)
        optimiser.step(closure, noise, first)
        return w.detach().numpy()


class Declared(Undeclared):
    """The same, and its reading of the output is said."""

    conventions = {"sgld.output": "exponential-average:0.25"}


class Scoped(Declared):
    """With the schedule of gamma = 1/tau, read off the optimiser after k steps."""

    def scoping(self, tau0, tau1, k):
        w = torch.zeros(1, requires_grad=True)
        optimiser = EntropySGD([w], [], g0=1 / tau0, g1=tau1)
        for _ in range(k):
            optimiser.step(None, None)
        return 1 / optimiser.gamma()
