"""Reverse-mode automatic differentiation over float64 numpy arrays.

A `Node` holds a value and, for each node it was computed from, a function that turns the
gradient of this value into that node's share.  Only what the reference cases need is here.
"""

import itertools

import numpy as np

_ages = itertools.count()


class Node:
    """A float64 array that remembers how it was computed."""

    # Lets `array * node` reach __rmul__ instead of numpy looping over the array's elements.
    __array_ufunc__ = None

    def __init__(self, value, parents=()):
        self.value = np.asarray(value, dtype=np.float64)
        self.parents = parents  # pairs (node, function from gradient to that node's gradient)
        self.age = next(_ages)

    @property
    def shape(self):
        return self.value.shape

    def __add__(self, other):
        other = as_node(other)
        return Node(self.value + other.value, (
            (self, lambda g: _sum_to(g, self.shape)),
            (other, lambda g: _sum_to(g, other.shape))))

    def __mul__(self, other):
        other = as_node(other)
        return Node(self.value * other.value, (
            (self, lambda g: _sum_to(g * other.value, self.shape)),
            (other, lambda g: _sum_to(g * self.value, other.shape))))

    def __truediv__(self, other):
        other = as_node(other)
        quotient = self.value / other.value
        return Node(quotient, (
            (self, lambda g: _sum_to(g / other.value, self.shape)),
            (other, lambda g: _sum_to(-g * quotient / other.value, other.shape))))

    def __matmul__(self, other):
        """Matrix product of the last two axes; leading axes must be equal or belong to `self`."""
        other = as_node(other)
        return Node(self.value @ other.value, (
            (self, lambda g: g @ np.swapaxes(other.value, -1, -2)),
            (other, lambda g: _sum_to(np.swapaxes(self.value, -1, -2) @ g, other.shape))))

    def __getitem__(self, index):
        """Basic or integer-array indexing; rows picked more than once add their gradients."""
        def scatter(g):
            full = np.zeros(self.shape)
            np.add.at(full, index, g)
            return full
        return Node(self.value[index], ((self, scatter),))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -as_node(other)

    def __rtruediv__(self, other):
        return as_node(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def sum(self, axis=None, keepdims=False):
        def spread(g):
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return np.broadcast_to(g, self.shape)
        return Node(self.value.sum(axis=axis, keepdims=keepdims), ((self, spread),))

    def mean(self, axis=None, keepdims=False):
        count = self.value.size if axis is None else self.shape[axis]
        return self.sum(axis, keepdims) / count

    def reshape(self, *shape):
        return Node(self.value.reshape(*shape), ((self, lambda g: g.reshape(self.shape)),))

    def transpose(self, *axes):
        inverse = np.argsort(axes)
        return Node(self.value.transpose(*axes), ((self, lambda g: g.transpose(inverse)),))


def as_node(value):
    """`value` itself if it is a node, else a constant."""
    return value if isinstance(value, Node) else Node(value)


def exp(x):
    y = np.exp(x.value)
    return Node(y, ((x, lambda g: g * y),))


def log(x):
    return Node(np.log(x.value), ((x, lambda g: g / x.value),))


def tanh(x):
    y = np.tanh(x.value)
    return Node(y, ((x, lambda g: g * (1 - y * y)),))


def sqrt(x):
    y = np.sqrt(x.value)
    return Node(y, ((x, lambda g: g / (2 * y)),))


def stack(nodes):
    """Nodes of one shape along a new first axis."""
    def part(i):
        return lambda g: g[i]
    return Node(np.stack([n.value for n in nodes]), tuple((n, part(i)) for i, n in enumerate(nodes)))


def gradients(loss, nodes):
    """d loss / d node for each of `nodes`; zeros where the loss does not depend on it."""
    reached = {id(loss): loss}
    pending = [loss]
    while pending:
        for parent, _ in pending.pop().parents:
            if id(parent) not in reached:
                reached[id(parent)] = parent
                pending.append(parent)

    grads = {id(loss): np.ones(loss.shape)}
    # A node is older than all that was computed from it, so from young to old every gradient is
    # complete before it is handed on.
    for node in sorted(reached.values(), key=lambda n: n.age, reverse=True):
        for parent, share in node.parents:
            g = share(grads[id(node)])
            grads[id(parent)] = grads[id(parent)] + g if id(parent) in grads else g
    return [np.array(grads[id(n)]) if id(n) in grads else np.zeros(n.shape) for n in nodes]


def _sum_to(g, shape):
    """Undo broadcasting: sum the axes along which an operand of `shape` was repeated."""
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and g.shape[axis] != 1:
            g = g.sum(axis=axis, keepdims=True)
    return g
