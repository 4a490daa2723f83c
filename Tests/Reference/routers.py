"""Routers besides the softmax top-k of routing.py, and the balance loss of each sequence.

Axis letters: T tokens, E experts, K choices of a token, C rows that an expert takes.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from autodiff import Node, as_node, stack
from layers import mlp, sigmoid, softmax
from routing import queue_places, run_experts

# Keeps a sum of scores that are all 0 from dividing 0 by 0, as in DeepSeek's code.
SMALL = 1e-20


@dataclass
class SigmoidRouting:
    """What the gate decided; the fields carry the names of the case files."""
    scores: Node             # (T, E)
    group_kept: np.ndarray   # (T, groups) 1 or 0
    experts: np.ndarray      # (T, K) best first
    gates: Node              # (T, K)
    kept: np.ndarray         # (T, K) 1 or 0
    place: np.ndarray        # (T, K)
    capacity: int


def sigmoid_route(logits, bias, decisions, k, norm_topk, scaling, n_group, topk_group, capacity_factor):
    """Sigmoid scores, a bias for the choice alone, and a choice in the best groups of neighboring experts."""
    T, E = logits.shape
    scores = sigmoid(logits)
    selection = scores.value + bias
    group_kept = np.zeros((T, n_group), dtype=np.int64)
    for t in range(T):
        values = [sum(sorted(group)[-2:]) for group in selection[t].reshape(n_group, -1)]
        order = sorted(range(n_group), key=lambda g: (-values[g], g))
        group_kept[t, order[:topk_group]] = 1
        if topk_group < n_group:
            decisions.gaps.append(values[order[topk_group - 1]] - values[order[topk_group]])
    is_open = np.repeat(group_kept, E // n_group, axis=1) == 1
    experts = decisions.choose(np.where(is_open, selection, -np.inf), k)

    gates = stack([stack([scores[t, e] for e in experts[t]]) for t in range(T)])
    if norm_topk:
        gates = gates / (gates.sum(axis=1, keepdims=True) + SMALL)
    capacity = math.ceil(Fraction(str(float(capacity_factor))) * T * k / E)
    place = queue_places(experts, E)
    kept = (place < capacity) if capacity > 0 else np.ones((T, k), dtype=bool)
    return SigmoidRouting(scores, group_kept, experts, gates * scaling, kept.astype(np.int64), place, capacity)


def sequence_losses(shares, experts, length):
    """One E * sum_e f_e P_e for each sequence of `length` rows: shares (T, E) are a token's distribution over
    experts, f_e the share of the sequence's choices that picked e, a constant to the gradient."""
    T, E = shares.shape
    losses = []
    for start in range(0, T, length):
        own = slice(start, start + length)
        f = np.array([np.mean(experts[own] == e) for e in range(E)])
        losses.append(E * (f * shares[own].mean(axis=0)).sum())
    return stack(losses)


def expert_choice(logits, decisions, capacity_factor):
    """(probabilities (T, E), rows that each expert takes (E, C), highest probability first)."""
    T, E = logits.shape
    probs = softmax(logits)
    C = min(math.ceil(Fraction(str(float(capacity_factor))) * T / E), T)
    return probs, decisions.choose(probs.value.T, C)


def run_taken(x, w, probs, taken):
    """y_t = sum over the experts that took t of S[t, e] E_e(x_t), 0 if none did."""
    T, D = x.shape
    rows = [as_node(np.zeros((1, D))) for _ in range(T)]
    for e, tokens in enumerate(taken):
        expert = {f"expert.{part}": w[f"experts.{part}"][e]
                  for part in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}
        for t in tokens:
            rows[t] = rows[t] + probs[t, e] * mlp(x[t:t + 1], expert, "expert")
    return stack(rows).reshape(T, D)


def sigmoid_moe(meta, bias, logits, n, decisions):
    """(results by path, output, balance loss) of a layer with the sigmoid router."""
    names = ("k", "norm_topk", "scaling", "n_group", "topk_group", "capacity_factor")
    r = sigmoid_route(logits, bias, decisions, **{name: meta[name] for name in names})
    shares = r.scores / r.scores.sum(axis=1, keepdims=True)
    aux = sequence_losses(shares, r.experts, meta["sequence_length"]).mean(axis=0)
    y = run_experts(n["x"], n, r)
    results = {"outputs/y": y.value, "outputs/aux": aux.value, "routing/scores": r.scores.value,
               "routing/group_kept": r.group_kept, "routing/experts": r.experts, "routing/gates": r.gates.value,
               "routing/kept": r.kept.astype(np.float64), "routing/place": r.place, "routing/capacity": r.capacity}
    return results, y, aux


def expert_choice_moe(meta, logits, n, decisions):
    """(results by path, output) of a layer whose experts choose."""
    probs, taken = expert_choice(logits, decisions, meta["capacity_factor"])
    y = run_taken(n["x"], n, probs, taken)
    gates = np.stack([probs.value[tokens, e] for e, tokens in enumerate(taken)])
    times = np.bincount(taken.ravel(), minlength=len(n["x"].value))
    results = {"outputs/y": y.value, "routing/probs": probs.value, "routing/taken": taken, "routing/gates": gates,
               "routing/times_taken": times, "routing/capacity": taken.shape[1]}
    return results, y
