"""A pair of blocks: attention + MLP, then attention + mixture of experts, in every variant."""

from dataclasses import dataclass

from autodiff import as_node
from layers import LAYER_NORM_EPS, attention, layer_norm, linear, mlp, sigmoid, softmax
from routing import gate_logits, route, run_experts

# Variants whose second block adds a shared expert to the routed ones.
WITH_SHARED = ("shared", "scmoe", "scmoe2", "hierarchical")
# Variants with a route that leaves from the preceding block.
WITH_SHORTCUT = ("scmoe", "scmoe2", "dgmoe")
# States of a block that a route may leave from, by number.
INPUT, AFTER_ATTENTION, OUTPUT = 0, 1, 2


@dataclass(frozen=True)
class PairOptions:
    """What a pair computes; the fields carry the names of the case files' `meta`."""
    variant: str
    heads: int
    causal: int
    k: int = 1
    renorm: int = 1
    shortcut_pos: int = 2
    capacity_factor: float = 0.0
    layernorm_eps: float = LAYER_NORM_EPS
    combine: int = 0         # 0 add, 1 CG-1, 2 CG-2
    coef_current: int = 0    # coefficients from u rather than from the routed input
    preceding_norm: int = 0  # the shortcut reuses ln_m1 and has no norm of its own
    post_norm: int = 0       # ln_post over the combined output
    one_gate: int = 0        # dgmoe: both calls use `gate`
    unconstrained: int = 0   # dgmoe: both calls may choose the same expert
    identity_experts: int = 0  # choices after the bank's experts that return their input
    sources: tuple = ()      # hierarchical: blocks back and state, one after the other


def pair(x, w, options, decisions, earlier=()):
    """x (B, T, D) through both blocks.

    earlier: (input, after attention, output) of every block before.

    Returns (out, aux, states, routings): aux is 0 without a gate, states the named
    intermediate values, routings a dictionary from name suffix to Routing.
    """
    o = options

    def norm(name, value):
        return layer_norm(value, w[f"{name}.weight"], w[f"{name}.bias"], o.layernorm_eps)

    h1 = x + attention(norm("ln_a1", x), w, "attn1", o.heads, o.causal)
    x1 = h1 + mlp(norm("ln_m1", h1), w, "mlp1")
    h2 = x1 + attention(norm("ln_a2", x1), w, "attn2", o.heads, o.causal)
    u = norm("ln_m2", h2)
    states = {"h1": h1, "x1": x1, "h2": h2}

    if o.variant == "dense":
        return h2 + mlp(u, w, "mlp2"), as_node(0.0), states, {}

    if o.variant in WITH_SHORTCUT:
        # The double gate always takes the state after the first attention.
        position = 2 if o.variant == "dgmoe" else o.shortcut_pos
        source = {1: x1, 2: h1, 3: x}[position]
        preceding = norm("ln_m1" if o.preceding_norm else "ln_sc", source)

    if o.variant == "hierarchical":
        blocks = [*earlier, (x, h1, x1), (x1, h2, None)]
        routed, routings, routed_input = sum_of_sources(blocks, norm, w, o, decisions)
    elif o.variant == "dgmoe":
        routed, routings = double_gate(preceding, u, w, o, decisions)
    else:
        routed_input = preceding if o.variant in WITH_SHORTCUT else u
        routed, routings = single_gate(routed_input, w, o, decisions)

    if o.variant in WITH_SHARED:
        z = u if o.coef_current else routed_input
        branch = combine(mlp(u, w, "shared"), routed, z, w, o.combine)
        if o.post_norm:
            branch = norm("ln_post", branch)
    else:
        branch = routed
    aux = sum(r.aux for r in routings.values())
    return h2 + branch, aux, states, routings


def rows(x):
    """(B, T, D) -> (B*T, D), batch-major."""
    return x.reshape(-1, x.shape[-1])


def single_gate(source, w, o, decisions):
    tokens = rows(source)
    routing = route(gate_logits(tokens, w["gate"]), decisions, o.k, o.renorm, o.capacity_factor,
                    identities=o.identity_experts)
    return run_experts(tokens, w, routing).reshape(source.shape), {"": routing}


def double_gate(preceding, current, w, o, decisions):
    """One expert bank, two top-1 calls with queues of their own; the second call never takes the
    expert that the first one took, unless it is unconstrained."""
    first_in, second_in = rows(preceding), rows(current)
    first = route(gate_logits(first_in, w["gate"]), decisions, 1, o.renorm, o.capacity_factor,
                  identities=o.identity_experts)
    gate2 = w["gate" if o.one_gate else "gate2"]
    forbidden = None if o.unconstrained else first.experts[:, 0]
    second = route(gate_logits(second_in, gate2), decisions, 1, o.renorm, o.capacity_factor, forbidden,
                   o.identity_experts)
    routed = run_experts(first_in, w, first) + run_experts(second_in, w, second)
    return routed.reshape(current.shape), {"1": first, "2": second}


def sources_in_order(flat):
    """(blocks back, state) of each source, the earliest in the network first."""
    return sorted(zip(flat[::2], flat[1::2]), key=lambda source: (-source[0], source[1]))


def numbered(name, route):
    """gate, gate2, gate3 ..."""
    return name if route == 0 else f"{name}{route + 1}"


def source_norm(route, back, state):
    """The current state has the block's own norm, every other source one of its own."""
    return "ln_m2" if (back, state) == (0, AFTER_ATTENTION) else numbered("ln_sc", route)


def sum_of_sources(blocks, norm, w, o, decisions):
    """One top-1 call of the same experts for each source, with a gate of its own.

    Returns (sum of the calls, routings, the first source's normed state).
    """
    total, routings, first = as_node(0.0), {}, None
    for i, (back, state) in enumerate(sources_in_order(o.sources)):
        block = len(blocks) - 1 - back
        # Block -1 is the embedding, whose output is the first block's input.
        source = blocks[block][state] if block >= 0 else blocks[0][INPUT]
        normed = norm(source_norm(i, back, state), source)
        tokens = rows(normed)
        routing = route(gate_logits(tokens, w[f"{numbered('gate', i)}"]), decisions, 1, o.renorm,
                        o.capacity_factor, identities=o.identity_experts)
        total = total + run_experts(tokens, w, routing).reshape(normed.shape)
        routings[str(i + 1)] = routing
        first = normed if first is None else first
    return total, routings, first


def combine(shared, routed, z, w, how):
    """Joins the shared and the routed output by plain addition or by learned coefficients of z."""
    if how == 0:
        return shared + routed
    if how == 1:
        return sigmoid(linear(z, w["coef"])) * shared + routed
    q = softmax(linear(z, w["coef"]))
    return q[..., 0:1] * shared + q[..., 1:2] * routed
