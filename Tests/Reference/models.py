"""Whole models: embedding, pairs of blocks, final norm, head, mean cross-entropy."""

import math

import numpy as np

from autodiff import as_node
from layers import cross_entropy_rows, layer_norm, linear
from pairs import PairOptions, pair


def model(case, w, decisions):
    """Logits, loss (balance losses included) and summed aux of a model case, as nodes."""
    gpt = case.backbone == "gpt"
    options = PairOptions(case.variant, case.meta["heads"], causal=int(gpt), k=case.meta["k"],
                          renorm=case.meta["renorm"], shortcut_pos=case.meta["shortcut_pos"])
    h = embed_tokens(case.inputs["x"], w) if gpt else embed_patches(case.inputs["x"], w)
    aux = as_node(0.0)
    for i in range(pair_count(w)):
        prefix = f"pairs.{i}."
        own = {name[len(prefix):]: node for name, node in w.items() if name.startswith(prefix)}
        h, pair_aux, _, _ = pair(h, own, options, decisions)
        aux = aux + pair_aux
    h = layer_norm(h, w["ln_f.weight"], w["ln_f.bias"])

    if gpt:
        logits = linear(h, w["tok.weight"])  # head tied to the token embedding
    else:
        logits = linear(h.mean(axis=1), w["head.weight"], w["head.bias"])
    classes = logits.shape[-1]
    errors = cross_entropy_rows(logits.reshape(-1, classes), case.inputs["y"].reshape(-1))
    return logits, errors.mean() + case.meta["aux_coef"] * aux, aux


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
