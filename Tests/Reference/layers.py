"""The dense layers of the reference: each a function of nodes, written as its formula.

Axis letters: B batch, T positions, D model width, H heads.
`w` is a dictionary of weights by name; linear weights are (out, in).
"""

import math

import numpy as np

from autodiff import exp, log, sqrt, tanh

LAYER_NORM_EPS = 1e-5


def gelu(x):
    """GELU in its tanh form."""
    return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


def softmax(x):
    """Over the last axis.  The maximum is a constant: subtracting it changes no value or gradient."""
    e = exp(x - x.value.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def linear(x, weight, bias=None):
    y = x @ weight.transpose(1, 0)
    return y if bias is None else y + bias


def layer_norm(x, gamma, beta, eps=LAYER_NORM_EPS):
    """Over the last axis, with the biased variance."""
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = (centered * centered).mean(axis=-1, keepdims=True)
    return centered / sqrt(variance + eps) * gamma + beta


def mlp(x, w, name):
    hidden = gelu(linear(x, w[f"{name}.fc1.weight"], w[f"{name}.fc1.bias"]))
    return linear(hidden, w[f"{name}.fc2.weight"], w[f"{name}.fc2.bias"])


def attention(x, w, name, heads, causal):
    """Multi-head self-attention of x (B, T, D)."""
    B, T, D = x.shape
    width = D // heads

    def split_heads(y):  # (B, T, D) -> (B, H, T, D/H)
        return y.reshape(B, T, heads, width).transpose(0, 2, 1, 3)

    qkv = linear(x, w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"])
    q, k, v = (split_heads(qkv[..., i * D:(i + 1) * D]) for i in range(3))
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(width)
    if causal:
        # exp of minus infinity is exactly 0, so later positions get no weight and no gradient.
        scores = scores + np.where(np.tri(T, dtype=bool), 0.0, -np.inf)
    mixed = (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(B, T, D)
    return linear(mixed, w[f"{name}.proj.weight"], w[f"{name}.proj.bias"])


def cross_entropy_rows(logits, targets):
    """-log softmax(logits)[target] for each row of logits (N, classes)."""
    # log-sum-exp about the maximum: exact where softmax itself would round to 0.
    top = logits.value.max(axis=-1, keepdims=True)
    log_sum = log(exp(logits - top).sum(axis=-1)) + top[:, 0]
    return log_sum - logits[np.arange(len(targets)), targets]
