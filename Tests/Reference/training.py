"""Optimizers with decoupled weight decay, and the few clipped training steps of a model case."""

import math

import numpy as np


def adamw_step(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """New (p, m, v) after update number `step`, counted from 1."""
    p = p - lr * weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    unbiased_m = m / (1 - beta1 ** step)
    unbiased_v = v / (1 - beta2 ** step)
    return p - lr * unbiased_m / (np.sqrt(unbiased_v) + eps), m, v


def sgd_step(p, g, m, lr, momentum, weight_decay):
    """New (p, m)."""
    m = momentum * m + g
    return p - lr * weight_decay * p - lr * m, m


def muon_step(p, g, m, lr, momentum, nesterov, weight_decay, ns_steps, ns_coefficients, ns_eps, scale):
    """New (p, m, o) of one matrix; o is the orthogonalized direction."""
    m = momentum * m + g
    o = newton_schulz(g + momentum * m if nesterov else m, ns_steps, ns_coefficients, ns_eps)
    return p - lr * weight_decay * p - lr * scale * math.sqrt(max(p.shape)) * o, m, o


def newton_schulz(u, steps, coefficients, eps):
    """The polynomial a s + b s^3 + c s^5, `steps` times, of the singular values s of u / (|u| + eps)."""
    a, b, c = coefficients
    left, s, right = np.linalg.svd(u / (np.sqrt((u * u).sum()) + eps), full_matrices=False)
    for _ in range(steps):
        s = a * s + b * s ** 3 + c * s ** 5
    return left * s @ right


def is_decayed(name, p):
    """Only weights of two or more axes decay; the axis that stacks experts does not count."""
    own_axes = p.ndim - 1 if "experts." in name else p.ndim
    return own_axes >= 2


def train(weights, meta, loss_and_grads):
    """`steps` updates on one batch, gradients clipped to the global norm `clip`.

    loss_and_grads: weights -> (loss, aux, gradients by name).
    Returns the histories of loss, grad_norm (before clipping) and aux, steps + 1 values each, the
    last ones after the last update; and the weights then.
    """
    weights = dict(weights)
    moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in weights.items()}
    history = {"loss": [], "grad_norm": [], "aux": []}
    for step in range(1, meta["steps"] + 2):
        loss, aux, grads = loss_and_grads(weights)
        norm = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        history["loss"].append(loss)
        history["grad_norm"].append(norm)
        history["aux"].append(aux)
        if step > meta["steps"]:
            return history, weights
        scale = min(1.0, meta["clip"] / (norm + 1e-6))
        for name, p in weights.items():
            decay = meta["weight_decay"] if is_decayed(name, p) else 0.0
            p, m, v = adamw_step(p, scale * grads[name], *moments[name], step,
                                 meta["lr"], meta["beta1"], meta["beta2"], meta["eps"], decay)
            weights[name], moments[name] = p, (m, v)
