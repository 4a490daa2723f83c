"""The list of reference cases, and how each is made from its name."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

import draw
from evaluate import evaluate
from pairs import AFTER_ATTENTION, INPUT, OUTPUT

# Probability margin by which every expert is chosen, so that float32 code chooses the same.
MARGIN = 1e-3
ATTEMPTS = 2000


@dataclass(frozen=True)
class Recipe:
    build: Callable   # (name, rng) -> Case
    accept: Callable  # results by path -> whether the draw shows what the case is for


def make_case(name, seed):
    """The case called `name` with its results; the same for the same name and seed.

    Draws again until experts are chosen by a clear margin, or by an exact tie where the case is
    about ties.
    """
    recipe = RECIPES[name]
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    for attempt in range(ATTEMPTS):
        case = recipe.build(name, np.random.default_rng([seed, digest, attempt]))
        results, gaps = evaluate(case)
        ties = [gap for gap in gaps if gap == 0]
        clear = all(gap >= MARGIN for gap in gaps if gap != 0)
        if clear and bool(ties) == case.ties and recipe.accept(results):
            return case, results
    raise RuntimeError(f"{name}: no draw out of {ATTEMPTS} shows what the case is for; "
                       "make its sizes smaller or its structure stronger")


# What a draw must show.

def anything(results):
    return True


def arrays(results, field):
    """Arrays of one routing field, over all gates of the case."""
    return [v for path, v in results.items() if path.split("/")[-1].rstrip("123") == field]


def drops(results):
    """Every gate drops something, and not everything."""
    return all(0 < kept.sum() < kept.size for kept in arrays(results, "kept"))


def all_to_favourite(results):
    return all((experts[:, 0] == draw.FAVOURITE).all() for experts in arrays(results, "experts"))


def none_to_unwanted(results):
    return all((experts != draw.UNWANTED).all() for experts in arrays(results, "experts"))


def same_expert_wanted(results):
    """Some token's two gates of a dgmoe prefer the same expert."""
    return (results["inner/experts1"][:, 0] == results["inner/probs2"].argmax(axis=1)).any()


def groups_matter(results):
    """Some token's best expert by score is not the one it takes first: bias or groups decided."""
    return (results["routing/scores"].argmax(axis=1) != results["routing/experts"][:, 0]).any()


def tokens_without_experts(results):
    """Some token is taken by no expert, some by several."""
    times = results["routing/times_taken"]
    return (times == 0).any() and (times > 1).any()


def well_conditioned(results):
    """The loss is not the small rest of large terms, which float32 could not give to its digits."""
    return abs(results["outputs/loss"]) > 2


# Names.

STATES = {INPUT: "in", AFTER_ATTENTION: "attn", OUTPUT: "out"}


def gate_tags(options):
    tags = []
    if options.get("capacity_factor"):
        tags.append(f"cf{100 * options['capacity_factor']:03.0f}")
    if options.get("renorm") == 0:
        tags.append("norenorm")
    return tags


def pair_name(variant, options):
    """Tells every option that differs from the usual."""
    tags = ["pair", variant]
    if variant in ("scmoe", "scmoe2"):
        tags.append(f"pos{options.get('shortcut_pos', draw.PAIR_META['shortcut_pos'])}")
    if options.get("combine"):
        tags.append(f"cg{options['combine']}")
    for option, tag in (("coef_current", "current"), ("preceding_norm", "prenorm"),
                        ("post_norm", "postnorm"), ("one_gate", "onegate"),
                        ("unconstrained", "unconstrained"), ("identity_experts", "identity")):
        if options.get(option):
            tags.append(tag)
    if "sources" in options:
        tags.append("from" + "".join(f"_{back}{STATES[state]}" for back, state in
                                     zip(options["sources"][::2], options["sources"][1::2])))
    tags += gate_tags(options)
    if options.get("causal") == 0:
        tags.append("noncausal")
    if "heads" in options:
        tags.append(f"h{options['heads']}")
    return "_".join(tags)


# Lists.

def operations():
    """(name, build) of every operation."""
    yield "gelu", partial(draw.gelu, scale=1.5)
    yield "gelu_saturated", partial(draw.gelu, scale=12.0)
    for rows, width in ((5, 3), (7, 10), (4, 16), (6, 33), (3, 64), (2, 100)):
        yield f"layernorm_{width}", partial(draw.layernorm, rows=rows, width=width)
    for rows, classes in ((9, 2), (8, 13), (5, 130)):
        yield f"softmax_xent_{classes}", partial(draw.softmax_xent, rows=rows, classes=classes)
    for rows, classes in ((6, 9), (23, 40)):
        yield f"loss_uneven_{rows}", partial(draw.loss_uneven, rows=rows, classes=classes)
    for causal, word in ((1, "causal"), (0, "noncausal")):
        for T in (1, 7, 19):
            for heads in (1, 2, 3):
                yield (f"attention_{word}_t{T}_h{heads}",
                       partial(draw.attention, T=T, heads=heads, causal=causal))
    yield "adamw", partial(draw.adamw, steps=5, size=9)
    yield "adamw_no_decay", partial(draw.adamw, steps=5, size=9, weight_decay=0.0)
    yield "sgd", partial(draw.sgd, steps=5, size=9)
    yield "sgd_no_momentum", partial(draw.sgd, steps=3, size=9, momentum=0.0)
    for word, shape in (("wide", (5, 9)), ("tall", (9, 5)), ("square", (6, 6)), ("row", (1, 7)),
                        ("stack", (3, 6, 8)), ("tall_stack", (2, 8, 3))):
        yield f"muon_{word}", partial(draw.muon, steps=4, shape=shape)
    yield "muon_plain", partial(draw.muon, steps=3, shape=(4, 7), nesterov=0, ns_steps=3, momentum=0.5)
    yield "adamw_slow_moment", partial(draw.adamw, steps=8, size=5, beta2=0.999, eps=1e-6)


def gates():
    """(name without its kind, what a draw must show, options) for `routing` and `moe` alike."""
    def gate(tag, k, E=4, T=14, renorm=1, capacity_factor=0.0, shape="spread", accept=anything):
        options = dict(k=k, E=E, T=T, renorm=renorm, capacity_factor=capacity_factor, shape=shape)
        name = "_".join([tag, *gate_tags(options)])
        return name, drops if capacity_factor else accept, options

    for k in (1, 2, 3):
        yield gate(f"top{k}", k, E=5)
    # Without effect on top-1, whose lone gate value is never renormalized.
    for k in (1, 2, 3):
        yield gate(f"top{k}", k, E=5, renorm=0)
    for k in (1, 2, 3):
        for factor in (0.5, 1.0, 1.25):
            yield gate(f"top{k}", k, E=6, capacity_factor=factor)
    yield gate("top2", 2, E=6, renorm=0, capacity_factor=0.5)
    for renorm in (1, 0):
        yield gate("every_expert", 4, renorm=renorm)
    yield gate("every_expert", 4, capacity_factor=0.5)
    yield gate("one_expert", 1, E=1, T=9)
    yield gate("one_expert", 1, E=1, T=9, capacity_factor=0.5)
    for k in (1, 2, 3):
        yield gate(f"ties_top{k}", k, E=6, shape="ties")
    yield gate("ties_top2", 2, E=6, shape="ties", capacity_factor=0.5)
    yield gate("ties_all_equal", 2, E=5, shape="all_equal")
    for k in (1, 2):
        yield gate(f"all_to_one_top{k}", k, shape="all_to_one", accept=all_to_favourite)
        yield gate(f"unchosen_expert_top{k}", k, shape="unchosen", accept=none_to_unwanted)
    # Drops are sure here: one queue gets every token.
    name, _, options = gate("all_to_one_top1", 1, shape="all_to_one", capacity_factor=1.25)
    yield name, lambda results: all_to_favourite(results) and drops(results), options


def pairs():
    """(variant, options) of every pair."""
    yield "dense", {}
    yield "dense", {"causal": 0}
    for variant, k in (("top1", 1), ("top2", 2), ("top3", 3)):
        yield variant, {"k": k}
        yield variant, {"k": k, "causal": 0}
    for variant, k in (("top2", 2), ("top3", 3)):
        yield variant, {"k": k, "renorm": 0}
    yield "top1", {"k": 1, "capacity_factor": 1.0}
    yield "top2", {"k": 2, "capacity_factor": 0.5}
    yield "top2", {"k": 2, "capacity_factor": 1.25}
    yield "top2", {"k": 2, "heads": 4}

    for variant, k, positions in (("shared", 1, (2,)), ("scmoe", 1, (1, 2, 3)), ("scmoe2", 2, (1, 2, 3))):
        for position in positions:
            usual = {"k": k, "shortcut_pos": position}
            yield variant, usual
            for combine in (1, 2):
                for current in (0, 1):
                    yield variant, {**usual, "combine": combine, "coef_current": current}
            if variant != "shared":
                yield variant, {**usual, "preceding_norm": 1}
        usual = {"k": k}
        yield variant, {**usual, "causal": 0}
        yield variant, {**usual, "post_norm": 1}
        yield variant, {**usual, "post_norm": 1, "combine": 1}
        yield variant, {**usual, "capacity_factor": 0.5}
        yield variant, {**usual, "capacity_factor": 1.0, "combine": 2}
    yield "scmoe2", {"k": 2, "renorm": 0}

    for gates_and_rule in ({}, {"one_gate": 1}, {"unconstrained": 1}, {"one_gate": 1, "unconstrained": 1}):
        yield "dgmoe", gates_and_rule
    yield "dgmoe", {"causal": 0}
    yield "dgmoe", {"preceding_norm": 1}
    yield "dgmoe", {"preceding_norm": 1, "one_gate": 1, "unconstrained": 1}
    for factor in (0.5, 1.0):
        yield "dgmoe", {"capacity_factor": factor}
    yield "dgmoe", {"capacity_factor": 0.5, "one_gate": 1, "unconstrained": 1}

    for variant, k in (("top1", 1), ("top2", 2), ("shared", 1), ("scmoe", 1), ("scmoe2", 2), ("dgmoe", 1)):
        yield variant, {"k": k, "identity_experts": 2}
    yield "top2", {"k": 2, "identity_experts": 2, "capacity_factor": 0.5}
    yield "scmoe", {"k": 1, "identity_experts": 1, "combine": 1}

    for sources in ((1, INPUT, 1, AFTER_ATTENTION), (1, OUTPUT, 0, AFTER_ATTENTION),
                    (0, INPUT, 1, AFTER_ATTENTION, 1, INPUT)):
        yield "hierarchical", {"sources": sources}
    yield "hierarchical", {"sources": (1, INPUT, 1, AFTER_ATTENTION), "combine": 1}
    yield "hierarchical", {"sources": (1, INPUT, 1, AFTER_ATTENTION), "identity_experts": 2}


def models():
    """(name without its backbone, variant, options); each is made with both backbones."""
    for variant, k in (("dense", 1), ("top1", 1), ("top2", 2), ("shared", 1), ("scmoe2", 2), ("dgmoe", 1)):
        yield variant, variant, {"k": k}
    for position in (1, 2, 3):
        yield f"scmoe_pos{position}", "scmoe", {"shortcut_pos": position}
    for variant, k in (("top2", 2), ("dgmoe", 1), ("scmoe", 1)):
        yield f"{variant}_one_bank", variant, {"k": k, "bank_pairs": 2}
    yield "scmoe_identity", "scmoe", {"identity_experts": 1}
    yield "hierarchical", "hierarchical", {"sources": (1, INPUT, 1, AFTER_ATTENTION)}
    # Blocks 0 and 1 are dense; the experts stand in block 3.
    yield "hierarchical_far", "hierarchical", {"sources": (3, AFTER_ATTENTION, 2, OUTPUT), "first_pair": 1}
    yield "hierarchical_from_embedding", "hierarchical", {"sources": (2, OUTPUT, 1, INPUT), "bank_pairs": 2}


def routers():
    """(name, Recipe) of the gates that are no softmax top-k over one batch."""
    for length in (6, 8):
        options = dict(k=2, E=6, T=24, renorm=1, capacity_factor=0.0, shape="spread", sequence_length=length)
        yield f"routing_sequence_{length}", Recipe(partial(draw.routing, **options), anything)
    for k in (1, 3):
        for norm in (0, 1):
            yield f"moe_sigmoid_top{k}_norm{norm}", Recipe(partial(draw.sigmoid_moe, k=k, E=5, norm_topk=norm), anything)
    grouped = dict(k=3, E=12, n_group=4, topk_group=2, scaling=2.5)
    yield "moe_sigmoid_groups", Recipe(partial(draw.sigmoid_moe, **grouped), groups_matter)
    yield "moe_sigmoid_groups_cf050", Recipe(partial(draw.sigmoid_moe, capacity_factor=0.5, **grouped), drops)
    for factor in (0.5, 1.0, 2.0, 8.0):
        yield (f"moe_expert_choice_cf{100 * factor:03.0f}",
               Recipe(partial(draw.expert_choice, E=4, capacity_factor=factor),
                      tokens_without_experts if factor <= 1 else anything))


def pair_accept(variant, options):
    wanted = [well_conditioned]
    if variant == "dgmoe":
        wanted.append(same_expert_wanted)
    if options.get("capacity_factor"):
        wanted.append(drops)
    return lambda results: all(shown(results) for shown in wanted)


def all_recipes():
    """(name, Recipe) of every case."""
    for name, build in operations():
        yield name, Recipe(build, anything)
    for kind, build in (("routing", draw.routing), ("moe", draw.moe)):
        for name, accept, options in gates():
            yield f"{kind}_{name}", Recipe(partial(build, **options), accept)
    for k, factor in ((1, 0.0), (2, 0.0), (2, 0.5)):
        options = dict(k=k, E=4, T=14, renorm=1, capacity_factor=factor, shape="spread", identities=2)
        yield ("_".join([f"moe_identity_top{k}", *gate_tags(options)]),
               Recipe(partial(draw.moe, **options), drops if factor else anything))
    for variant, options in pairs():
        yield (pair_name(variant, options),
               Recipe(partial(draw.pair, variant=variant, options=options), pair_accept(variant, options)))
    yield from routers()
    for backbone in ("vit", "gpt"):
        for name, variant, options in models():
            yield (f"model_{backbone}_{name}",
                   Recipe(partial(draw.model, backbone=backbone, variant=variant, options=options), anything))


RECIPES = dict(all_recipes())
assert len(RECIPES) == len(list(all_recipes())), "two cases share a name"
