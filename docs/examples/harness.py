"""A harness in Python: Algorithm 3 on quadratic losses, over JSON lines."""

import json
import sys

import numpy as np


def sgld_mean(loss, x, tau, step_sizes, start=None, draws=None, n=1, seed=None):
    H, m = np.array(loss["H"]), np.array(loss["m"])
    H = H if H.ndim == 2 else H * np.eye(len(x))
    if draws is None:
        draws = np.random.default_rng(seed).normal(
            size=(n, len(step_sizes) - 1, len(x))
        )
    y = np.tile(x if start is None else start, (n, 1))
    total = step_sizes[0] * y
    for j, eps in enumerate(step_sizes[:-1]):
        drift = (y - m) @ H - (x - y) / tau
        y = y - eps / 2 * drift + np.sqrt(eps) * np.array(draws)[:, j]
        total = total + step_sizes[j + 1] * y
    return (total / sum(step_sizes)).tolist()


def answer(message):
    if message["message"] == "start":
        return {"result": {"name": "a chain in Python", "methods": ["sgld_mean"]}}
    if message["message"] == "echo":
        return {"result": message["numbers"]}
    if message["arguments"]["loss"]["kind"] != "quadratic":
        return {"not-implemented": "quadratic losses only"}
    return {"result": sgld_mean(**message["arguments"])}


for line in sys.stdin:
    message = json.loads(line)
    if message["message"] == "stop":
        break
    print(json.dumps({"id": message["id"], **answer(message)}), flush=True)
