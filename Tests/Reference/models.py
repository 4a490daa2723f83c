"""Whole models: embedding, pairs of blocks, final norm, head, mean cross-entropy."""

import math
from dataclasses import replace

import numpy as np

from autodiff import as_node
from layers import cross_entropy_rows, layer_norm, linear
from pairs import PairOptions, pair


def model(case, w, decisions):
    """Logits, loss (balance losses included) and summed aux of a model case, as nodes."""
    gpt = case.backbone == "gpt"
    meta = case.meta
    options = PairOptions(case.variant, meta["heads"], causal=int(gpt), k=meta["k"], renorm=meta["renorm"],
                          shortcut_pos=meta["shortcut_pos"], identity_experts=meta.get("identity_experts", 0),
                          sources=meta.get("sources", ()))
    dense = replace(options, variant="dense")
    h = embed_tokens(case.inputs["x"], w) if gpt else embed_patches(case.inputs["x"], w)
    aux = as_node(0.0)
    blocks = []
    for i in range(pair_count(w)):
        own = {**part(w, f"pairs.{bank_owner(i, meta)}.", "experts."), **part(w, f"pairs.{i}.")}
        is_dense = i < meta.get("first_pair", 0)
        out, pair_aux, states, _ = pair(h, own, dense if is_dense else options, decisions, blocks)
        blocks += [(h, states["h1"], states["x1"]), (states["x1"], states["h2"], out)]
        h = out
        aux = aux + pair_aux
    h = layer_norm(h, w["ln_f.weight"], w["ln_f.bias"])

    if gpt:
        logits = linear(h, w["tok.weight"])  # head tied to the token embedding
    else:
        logits = linear(h.mean(axis=1), w["head.weight"], w["head.bias"])
    classes = logits.shape[-1]
    errors = cross_entropy_rows(logits.reshape(-1, classes), case.inputs["y"].reshape(-1))
    return logits, errors.mean() + case.meta["aux_coef"] * aux, aux


def part(w, prefix, below=""):
    """The weights under a prefix, without it."""
    return {name[len(prefix):]: node for name, node in w.items() if name.startswith(prefix + below)}


def bank_owner(pair, meta):
    """The pair whose experts a pair uses: the first of every `bank_pairs` that have experts."""
    first = meta.get("first_pair", 0)
    return pair if pair < first else pair - (pair - first) % meta.get("bank_pairs", 1)


def embed_tokens(x, w):
    """Token numbers (B, T) -> (B, T, D)."""
    return w["tok.weight"][x] + w["pos"][:x.shape[1]]


def embed_patches(x, w):
    """Images (B, channels, side, side) -> (B, T, D): patches row by row, each flattened as
    (channel, row, column)."""
    B, channels, side, _ = x.shape
    size = math.isqrt(w["tok.weight"].shape[1] // channels)
    patches = [x[:, :, top:top + size, left:left + size].reshape(B, -1)
               for top in range(0, side, size) for left in range(0, side, size)]
    return linear(as_node(np.stack(patches, axis=1)), w["tok.weight"], w["tok.bias"]) + w["pos"]


def pair_count(w):
    return len({name.split(".")[1] for name in w if name.startswith("pairs.")})
