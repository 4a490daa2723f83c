"""Gate, top-k choice, capacity and the MoE layer, by plain loops over tokens and experts.

Axis letters: T tokens, E experts, K choices of a token.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from autodiff import Node, as_node, stack
from layers import mlp, softmax


@dataclass
class Decisions:
    """The experts that every gate call of one forward pass chose, in call order.

    A forward pass that is given `replay` repeats those choices instead of making its own: the
    gradients hold the choices constant, so must the finite differences that verify them.
    """
    replay: list = None
    experts: list = field(default_factory=list)  # one (T, K) integer array a gate call
    gaps: list = field(default_factory=list)     # probability gaps that decided a choice

    def choose(self, probs, k, forbidden=None):
        """The k most probable experts of each row, best first; the lower index wins a tie.

        forbidden: (T,) an expert that each token may not choose, or None.
        """
        T, E = probs.shape
        chosen = np.zeros((T, k), dtype=np.int64)
        for t in range(T):
            allowed = [e for e in range(E) if forbidden is None or e != forbidden[t]]
            order = sorted(allowed, key=lambda e: (-probs[t, e], e))
            chosen[t] = order[:k]
            ranked = [probs[t, e] for e in order[:k + 1]]
            self.gaps += [better - worse for better, worse in zip(ranked, ranked[1:])]
        if self.replay is not None:
            chosen = self.replay[len(self.experts)]
        self.experts.append(chosen)
        return chosen


@dataclass
class Routing:
    """What one gate call decided; the fields carry the names of the case files."""
    probs: Node           # (T, E)
    experts: np.ndarray   # (T, K) best first
    gates: Node           # (T, K) weight of each choice, whether kept or not
    kept: np.ndarray      # (T, K) 1 or 0
    place: np.ndarray     # (T, K) position in the expert's queue
    capacity: int         # places a queue has; 0 is without limit
    aux: Node             # balance loss


def route(logits, decisions, k, renorm, capacity_factor, forbidden=None, identities=0):
    """Routes tokens by their gate logits (T, E); the last `identities` of the E choices hold no rows
    and drop none."""
    T, E = logits.shape
    probs = softmax(logits)
    experts = decisions.choose(probs.value, k, forbidden)

    gates = stack([stack([probs[t, e] for e in experts[t]]) for t in range(T)])
    # A lone choice keeps its probability: divided by itself it would be 1 and the gate would learn
    # nothing from the task.
    if renorm and k > 1:
        gates = gates / gates.sum(axis=1, keepdims=True)

    # Exact: in floating point 1.1 * 400 / 4 is more than 110.
    capacity = math.ceil(Fraction(str(float(capacity_factor))) * T * k / E)
    place = queue_places(experts, E)
    kept = (place < capacity) if capacity > 0 else np.ones((T, k), dtype=bool)
    kept |= experts >= E - identities
    return Routing(probs, experts, gates, kept.astype(np.int64), place, capacity,
                   balance_loss(probs, experts))


def queue_places(experts, expert_count):
    """Position of each choice in its expert's queue: all first choices in token order, then the
    second choices, and so on."""
    T, K = experts.shape
    place = np.zeros((T, K), dtype=np.int64)
    length = [0] * expert_count
    for j in range(K):
        for t in range(T):
            e = experts[t, j]
            place[t, j] = length[e]
            length[e] += 1
    return place


def balance_loss(probs, experts):
    """E * sum_e f_e P_e: f_e the share of all choices that picked e, a constant to the gradient;
    P_e the mean probability of e."""
    E = probs.shape[1]
    share = np.array([np.mean(experts == e) for e in range(E)])
    return E * (share * probs.mean(axis=0)).sum()


def gate_logits(x, gate):
    """x (T, D) times gate (E, D) transposed.

    Products summed in the same order for every expert, which a matrix product does not promise:
    equal gate rows must give exactly equal logits.
    """
    T, D = x.shape
    return (x.reshape(T, 1, D) * gate).sum(axis=2)


def run_experts(x, w, routing):
    """Sum over the kept choices of gate times expert output; a dropped choice adds nothing, one past
    the bank's experts is an identity and gives x.

    x: (T, D) -> (T, D).
    """
    T, D = x.shape
    bank = [{f"expert.{part}": w[f"experts.{part}"][e]
             for part in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}
            for e in range(w["experts.fc1.weight"].shape[0])]
    rows = []
    for t in range(T):
        row = as_node(np.zeros((1, D)))
        for j, e in enumerate(routing.experts[t]):
            if routing.kept[t, j]:
                token = x[t:t + 1]
                row = row + routing.gates[t, j] * (
                    mlp(token, bank[e], "expert") if e < len(bank) else token)
        rows.append(row)
    return stack(rows).reshape(T, D)
