"""Two proofs of the reference: its gradients against central differences, and its definitions
against case files made by someone else."""

from pathlib import Path

import numpy as np

from autodiff import Node
from casefile import read_case
from evaluate import differentiable, differentiate, evaluate, run_forward
from routing import Decisions

# Below this a whole dataset counts as zero: what is left is rounding, and differences are absolute.
ZERO = 1e-12

# Least size that an error of a gradient is relative to.  Some gradients are zero throughout, as the
# gate's of a single expert, and a difference of losses resolves no less than their rounding.
SMALL_GRADIENT = 1e-4


def relative_difference(ours, theirs):
    """Largest difference of two arrays, relative to the largest element of `theirs`."""
    if ours.size == 0:
        return 0.0
    scale = np.abs(theirs).max()
    return float(np.abs(ours - theirs).max() / (scale if scale > ZERO else 1.0))


def compare_folder(folder):
    """Recomputes every case file of a folder; yields (file name, largest relative difference, name
    of the dataset that has it).  A dataset that only one side has, and another shape or type of
    number, are infinitely different."""
    for path in sorted(Path(folder).glob("*.h5")):
        case, stored = read_case(path)
        ours, _ = evaluate(case)
        worst, where = 0.0, ""
        for name in sorted(set(ours) | set(stored)):
            difference = np.inf
            if name in ours and name in stored:
                a, b = np.atleast_1d(ours[name]), stored[name]
                if a.shape == b.shape and a.dtype.kind == b.dtype.kind:
                    difference = relative_difference(a, b)
            if difference > worst:
                worst, where = difference, name
        yield path.name, worst, where


def check_gradients(case, rng, elements=3, step=1e-3):
    """Largest error of a case's gradients against central differences, relative to the largest
    gradient of the dataset, over a few random elements of every dataset; and the dataset's name.

    The differences hold the choices of experts constant, as the gradients do.  They are of fourth
    order: halving the step of a plain difference and extrapolating removes its leading error, so
    that a step large enough to keep rounding out is still exact enough.
    """
    _, grads, decisions = differentiate(case)
    values = {**case.inputs, **case.weights}
    worst, where = 0.0, ""
    for name in differentiable(case):
        size = values[name].size
        for i in rng.choice(size, min(elements, size), replace=False):
            index = np.unravel_index(i, values[name].shape)
            for prefix, numeric in central_difference(case, name, index, decisions, step).items():
                g = grads[prefix + name]
                error = abs(g[index] - numeric) / max(np.abs(g).max(), SMALL_GRADIENT)
                if error > worst:
                    worst, where = error, prefix + name
    return worst, where


def central_difference(case, name, index, decisions, step):
    """Derivative of each loss of a case by one element, by prefix of the loss."""
    values = {**case.inputs, **case.weights}

    def losses_at(offset):
        moved = values[name].copy()
        moved[index] += offset
        nodes = {n: Node(moved if n == name else values[n]) for n in differentiable(case)}
        forward = run_forward(case, nodes, Decisions(replay=decisions.experts))
        return {prefix: float(loss.value) for prefix, loss in forward.losses.items()}

    near = losses_at(step / 2), losses_at(-step / 2)
    far = losses_at(step), losses_at(-step)
    return {prefix: (4 * (near[0][prefix] - near[1][prefix]) / step
                     - (far[0][prefix] - far[1][prefix]) / (2 * step)) / 3
            for prefix in near[0]}
