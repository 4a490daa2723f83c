"""Random inputs and weights: one function for each kind of case, sizes small enough to read by eye.

Widths that could be confused (model width and hidden width, tokens and experts) differ, so that a
transposed array has the wrong shape instead of the wrong numbers.
"""

import numpy as np

from casefile import Case
from layers import LAYER_NORM_EPS
from models import bank_owner
from pairs import WITH_SHARED, WITH_SHORTCUT, numbered, source_norm, sources_in_order

AUX_COEF = 0.01

# Every option of a pair, with the value that examples use where a case does not name another.
PAIR_META = {"heads": 2, "causal": 1, "k": 1, "renorm": 1, "shortcut_pos": 2,
             "capacity_factor": 0.0, "aux_coef": AUX_COEF, "layernorm_eps": LAYER_NORM_EPS,
             "combine": 0, "coef_current": 0, "preceding_norm": 0, "post_norm": 0,
             "one_gate": 0, "unconstrained": 0}

# Adam divides a gradient by its own size, so one that is zero but for rounding (that of the key
# bias of attention is) becomes an update made of noise.  This eps, large beside the rounding of
# float32 and small beside the other gradients, keeps such updates out of the files.
MODEL_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.95, "eps": 1e-4, "weight_decay": 0.1,
              "clip": 1.0, "steps": 3, "decay_only_matrices": 1}


# Operations.

def gelu(name, rng, scale):
    inputs = {"x": scale * rng.normal(size=50), "dy": rng.normal(size=50)}
    return Case(name, "operation", "tanh GELU: y = gelu(x); grads/x = d sum(y*dy) / dx", inputs=inputs)


def layernorm(name, rng, rows, width):
    inputs = {"x": 1.5 * rng.normal(size=(rows, width)) + 0.5,
              "gamma": 1 + 0.3 * rng.normal(size=width), "beta": 0.3 * rng.normal(size=width),
              "dy": rng.normal(size=(rows, width))}
    return Case(name, "operation", "layer norm over the last axis (biased variance): "
                "y = (x-mean)/sqrt(var+eps)*gamma+beta", {"eps": LAYER_NORM_EPS}, inputs)


def softmax_xent(name, rng, rows, classes):
    logits = rng.normal(size=(rows, classes))
    logits[0] *= 300  # overflows a softmax that does not subtract the maximum
    inputs = {"logits": logits, "targets": rng.integers(classes, size=rows)}
    return Case(name, "operation", "mean cross-entropy of softmax(logits); row 0 has large logits",
                inputs=inputs)


def loss_uneven(name, rng, rows, classes, ignored=-1):
    # About half of the rows count; parts_a is two uneven micro-batches, parts_b has one without a row.
    targets = np.where(rng.random(rows) < 0.5, ignored, rng.integers(classes, size=rows))
    targets[rows - 1] = classes - 1
    first = int(rng.integers(1, rows))
    inputs = {"logits": 2 * rng.normal(size=(rows, classes)), "targets": targets,
              "parts_a": np.array([first, rows - first]), "parts_b": np.array([1, 0, rows - 1])}
    return Case(name, "operation", "mean cross-entropy over the rows whose target is not "
                f"{ignored}, whatever micro-batches the rows come in", {"ignored": ignored}, inputs)


def attention(name, rng, T, heads, causal, B=2, D=12):
    weights = draw_weights(rng, attention_shapes("attn", D))
    inputs = {"x": rng.normal(size=(B, T, D)), **weights, "dy": rng.normal(size=(B, T, D))}
    return Case(name, "operation", "multi-head self-attention, x (B,T,d); qkv rows: d of Q, d of K, "
                "d of V, heads contiguous in each; scale 1/sqrt(d/heads)",
                {"heads": heads, "causal": causal}, inputs)


def adamw(name, rng, steps, size, **options):
    meta = {"lr": 0.003, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, **options}
    inputs = {"p0": rng.normal(size=size), "g": rng.normal(size=(steps, size))}
    return Case(name, "operation", f"{steps} AdamW steps, decoupled decay p -= lr*wd*p first, "
                "bias-corrected moments", meta, inputs)


def sgd(name, rng, steps, size, **options):
    meta = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, **options}
    inputs = {"p0": rng.normal(size=size), "g": rng.normal(size=(steps, size))}
    return Case(name, "operation", f"{steps} steps of SGD with momentum, decoupled decay "
                "p -= lr*wd*p first", meta, inputs)


def muon(name, rng, steps, shape, **options):
    meta = {"lr": 0.02, "momentum": 0.95, "nesterov": 1, "weight_decay": 0.1, "ns_steps": 5,
            "ns_coefficients": (3.4445, -4.7750, 2.0315), "ns_eps": 1e-7, "scale": 0.2, **options}
    inputs = {"p0": rng.normal(size=shape), "g": rng.normal(size=(steps, *shape))}
    return Case(name, "operation", f"{steps} Muon steps, decoupled decay p -= lr*wd*p first; m the momentum "
                "buffer, o the orthogonalized direction; matrices of a stack each on its own", meta, inputs)


# Mixture of experts.  `shape` says how the gate's logits are spread:
#   spread      no structure
#   ties        experts in pairs of exactly equal probability
#   all_equal   all experts of exactly equal probability
#   all_to_one  every token's first choice is FAVOURITE
#   unchosen    no token's choice is UNWANTED

FAVOURITE, UNWANTED = 2, 1


def routing(name, rng, k, E, T, renorm, capacity_factor, shape, sequence_length=0):
    logits = rng.normal(size=(T, E))
    if shape == "ties":
        logits[:, 1::2] = logits[:, 0:E - 1:2]
    elif shape == "all_equal":
        logits[:] = logits[:, :1]
    elif shape == "all_to_one":
        logits[:, FAVOURITE] += 3
    elif shape == "unchosen":
        logits[:, UNWANTED] -= 6
    meta = {"k": k, "renorm": renorm, "capacity_factor": capacity_factor, "aux_coef": AUX_COEF}
    if sequence_length:
        meta["sequence_length"] = sequence_length
    return Case(name, "routing", "softmax gate, top-k, capacity; "
                "grads/logits = d [sum(gates*kept*dgates) + 0.01*aux]", meta,
                {"logits": logits, "dgates": rng.normal(size=(T, k))},
                ties=shape in ("ties", "all_equal"))


def moe(name, rng, k, E, T, renorm, capacity_factor, shape, D=6, hidden=10, identities=0):
    x = rng.normal(size=(T, D))
    weights = draw_weights(rng, {"gate": (E + identities, D), **expert_shapes(E, D, hidden)})
    gate = weights["gate"]
    if shape in ("ties", "all_equal"):
        # Sixteenths: sums of their products are exact in float32 too, whatever the order, so a
        # tie of equal gate rows is a tie there as well.
        x, gate[:] = np.round(16 * x) / 16, np.round(16 * gate) / 16
        if shape == "ties":
            gate[1::2] = gate[0:E - 1:2]
        else:
            gate[:] = gate[0]
    elif shape in ("all_to_one", "unchosen"):
        # One feature is positive for every token, and only one expert's gate looks at it.
        x[:, 0] = rng.uniform(1, 2, size=T)
        gate[:, 0] = 0
        if shape == "all_to_one":
            gate[FAVOURITE, 0] = 2
        else:
            gate[UNWANTED, 0] = -4
    meta = {"k": k, "renorm": renorm, "capacity_factor": capacity_factor, "aux_coef": AUX_COEF}
    if identities:
        meta["identity_experts"] = identities
    return Case(name, "moe", "MoE layer alone; loss = sum(y*dy) + 0.01*aux", meta,
                {"x": x, "dy": rng.normal(size=(T, D))}, weights,
                ties=shape in ("ties", "all_equal"))


def sigmoid_moe(name, rng, k, E, norm_topk=1, scaling=1.0, n_group=1, topk_group=1, capacity_factor=0.0,
                T=14, D=6, hidden=10, sequence_length=7):
    weights = draw_weights(rng, {"gate": (E, D), **expert_shapes(E, D, hidden)})
    meta = {"k": k, "norm_topk": norm_topk, "scaling": scaling, "n_group": n_group, "topk_group": topk_group,
            "capacity_factor": capacity_factor, "aux_coef": AUX_COEF, "sequence_length": sequence_length}
    inputs = {"x": rng.normal(size=(T, D)), "dy": rng.normal(size=(T, D)),
              "selection_bias": 0.1 * rng.normal(size=E)}
    return Case(name, "moe", "MoE layer alone, sigmoid router; loss = sum(y*dy) + 0.01*aux, aux sequence-wise",
                meta, inputs, weights, router="sigmoid")


def expert_choice(name, rng, E, capacity_factor, T=14, D=6, hidden=10):
    weights = draw_weights(rng, {"gate": (E, D), **expert_shapes(E, D, hidden)})
    inputs = {"x": rng.normal(size=(T, D)), "dy": rng.normal(size=(T, D))}
    return Case(name, "moe", "MoE layer alone, experts choose tokens; loss = sum(y*dy)",
                {"capacity_factor": capacity_factor}, inputs, weights, router="expert_choice")


# Pairs and models.

def pair(name, rng, variant, options, B=2, T=7, D=8, hidden=12, E=4):
    meta = {**PAIR_META, **options}
    weights = draw_weights(rng, pair_shapes(variant, meta, D, hidden, E))
    inputs = {"x": rng.normal(size=(B, T, D)), "dout": rng.normal(size=(B, T, D))}
    return Case(name, "pair", "a pair of blocks; loss = sum(out*dout) + 0.01*aux", meta, inputs,
                weights, variant)


def model(name, rng, backbone, variant, options, D=6, hidden=10, E=3, pairs=2):
    """Options of the model: `first_pair`, the pairs before it are dense; `bank_pairs`, how many pairs
    share one bank of experts, which stands under the first of them."""
    meta = {**{o: PAIR_META[o] for o in ("heads", "k", "renorm", "shortcut_pos", "aux_coef")},
            **options, **MODEL_ADAM}
    about = ("whole model, two pairs; loss = mean xent + 0.01*aux; then AdamW steps with clipping "
             "on the same batch; ")
    if backbone == "gpt":
        B, T, vocabulary = 2, 6, 13
        inputs = {"x": rng.integers(vocabulary, size=(B, T)), "y": rng.integers(vocabulary, size=(B, T))}
        shapes = {"tok.weight": (vocabulary, D)}
        about += "tied head"
    else:
        B, channels, patch, across, classes = 3, 3, 4, 2, 5
        side, T = patch * across, across * across
        inputs = {"x": rng.normal(size=(B, channels, side, side)), "y": rng.integers(classes, size=B)}
        shapes = {"tok.weight": (D, channels * patch * patch), "tok.bias": (D,),
                  "head.weight": (classes, D), "head.bias": (classes,)}
        about += "patches row-major, each flattened (channel, row, column); mean pool"
    shapes.update({"pos": (T, D), **norm_shapes("ln_f", D)})
    for i in range(pairs):
        own = "dense" if i < meta.get("first_pair", 0) else variant
        one_pair = pair_shapes(own, {**PAIR_META, **options}, D, hidden, E)
        shapes.update({f"pairs.{i}.{part}": shape for part, shape in one_pair.items()
                       if bank_owner(i, meta) == i or not part.startswith("experts.")})
    return Case(name, "model", about, meta, inputs, draw_weights(rng, shapes), variant, backbone)


# Names and shapes of weights.

def norm_shapes(name, D):
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


def linear_shapes(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def attention_shapes(name, D):
    return {**linear_shapes(f"{name}.qkv", 3 * D, D), **linear_shapes(f"{name}.proj", D, D)}


def mlp_shapes(name, D, hidden):
    return {**linear_shapes(f"{name}.fc1", hidden, D), **linear_shapes(f"{name}.fc2", D, hidden)}


def expert_shapes(E, D, hidden):
    return {name: (E, *shape) for name, shape in mlp_shapes("experts", D, hidden).items()}


def pair_shapes(variant, meta, D, hidden, E):
    """Every weight that a pair has, and no other."""
    shapes = {**norm_shapes("ln_a1", D), **attention_shapes("attn1", D), **norm_shapes("ln_m1", D),
              **norm_shapes("ln_a2", D), **attention_shapes("attn2", D), **norm_shapes("ln_m2", D),
              **mlp_shapes("mlp1", D, hidden)}
    if variant == "dense":
        return {**shapes, **mlp_shapes("mlp2", D, hidden)}
    choices = E + meta.get("identity_experts", 0)
    calls = len(meta["sources"]) // 2 if variant == "hierarchical" else 1
    for i in range(2 if variant == "dgmoe" and not meta["one_gate"] else calls):
        shapes[numbered("gate", i)] = (choices, D)
    shapes.update(expert_shapes(E, D, hidden))
    if variant in WITH_SHARED:
        shapes.update(mlp_shapes("shared", D, hidden))
    if variant in WITH_SHORTCUT and not meta["preceding_norm"]:
        shapes.update(norm_shapes("ln_sc", D))
    if variant == "hierarchical":
        for i, source in enumerate(sources_in_order(meta["sources"])):
            shapes.update(norm_shapes(source_norm(i, *source), D))
    if meta["combine"]:
        shapes["coef"] = (meta["combine"], D)  # CG-1 has one coefficient, CG-2 two
    if meta["post_norm"]:
        shapes.update(norm_shapes("ln_post", D))
    return shapes


def draw_weights(rng, shapes):
    """Norm gains near 1, biases small, the rest large enough that every part bears on the output."""
    weights = {}
    for name, shape in shapes.items():
        is_gain = name.endswith("weight") and "ln_" in name
        scale = 0.1 if is_gain or name.endswith("bias") else 0.4
        if name == "pos":
            scale = 1.0  # narrow rows of little variance would make the first norm ill-conditioned
        weights[name] = float(is_gain) + scale * rng.normal(size=shape)
    return weights
