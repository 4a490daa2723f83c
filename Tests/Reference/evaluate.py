"""From the definition of a case to everything its file holds: outputs, routing, gradients, training."""

from dataclasses import dataclass

import numpy as np

from autodiff import Node, gradients
from layers import attention, cross_entropy_rows, gelu, layer_norm, softmax
from models import model
from pairs import PairOptions, pair
from routers import expert_choice_moe, sequence_losses, sigmoid_moe
from routing import Decisions, gate_logits, route, run_experts
from training import adamw_step, muon_step, sgd_step, train


@dataclass
class Forward:
    """One forward pass."""
    results: dict  # arrays by path in the file
    losses: dict   # scalar nodes by the prefix of their gradients' names


def evaluate(case):
    """(results by path, probability gaps that decided the choices of experts)."""
    if not differentiable(case):
        return STEPS[operation_name(case)](case), []
    forward, grads, decisions = differentiate(case)
    results, gaps = dict(forward.results), list(decisions.gaps)
    results.update({f"grads/{name}": g for name, g in grads.items()})
    if case.kind == "model":
        def loss_and_grads(weights):
            forward, grads, decisions = differentiate(case, weights)
            gaps.extend(decisions.gaps)
            return forward.results["outputs/loss"], forward.results["outputs/aux"], grads
        history, weights = train(case.weights, case.meta, loss_and_grads)
        results.update({f"trained/{name}": np.array(values) for name, values in history.items()})
        results.update({f"trained/weights/{name}": p for name, p in weights.items()})
    return results, gaps


def differentiate(case, weights=None):
    """One forward pass with the gradients of each of its losses, by dataset name."""
    values = {**case.inputs, **(case.weights if weights is None else weights)}
    nodes = {name: Node(values[name]) for name in differentiable(case)}
    decisions = Decisions()
    forward = run_forward(case, nodes, decisions)
    grads = {}
    for prefix, loss in forward.losses.items():
        for name, g in zip(nodes, gradients(loss, list(nodes.values()))):
            grads[prefix + name] = g
    return forward, grads, decisions


def differentiable(case):
    """Names of the inputs and weights that a case has gradients for; none for optimizers alone."""
    if case.kind == "operation" and operation_name(case) in STEPS:
        return []
    if case.kind == "model":
        return list(case.weights)
    upstream = ("dy", "dout", "dgates", "selection_bias")
    inputs = [name for name, value in case.inputs.items()
              if value.dtype.kind == "f" and name not in upstream]
    return inputs + list(case.weights)


def run_forward(case, nodes, decisions):
    """One forward pass of a case, its differentiable inputs and weights given as nodes."""
    if case.kind == "operation":
        return OPERATIONS[operation_name(case)](case, nodes)
    return {"routing": routing, "moe": moe, "pair": pair_case, "model": model_case}[case.kind](
        case, nodes, decisions)


# Operations: the name of the case starts with the name of the operation.

def operation_name(case):
    return next(name for name in (*OPERATIONS, *STEPS) if case.name.startswith(name))


def with_upstream(case, y):
    return Forward({"outputs/y": y.value}, {"": (y * case.inputs["dy"]).sum()})


def softmax_xent(case, n):
    errors = cross_entropy_rows(n["logits"], case.inputs["targets"])
    loss = errors.mean()
    return Forward({"outputs/loss": loss.value, "outputs/loss_per_row": errors.value,
                    "outputs/probs": softmax(n["logits"]).value}, {"": loss})


def loss_uneven(case, n):
    targets = case.inputs["targets"]
    counts = (targets != case.meta["ignored"]).astype(np.float64)
    errors = cross_entropy_rows(n["logits"], np.where(counts > 0, targets, 0)) * counts
    loss = errors.sum() / counts.sum()
    return Forward({"outputs/loss": loss.value, "outputs/loss_per_row": errors.value,
                    "outputs/counted": np.int64(counts.sum())}, {"": loss})


OPERATIONS = {
    "gelu": lambda case, n: with_upstream(case, gelu(n["x"])),
    "layernorm": lambda case, n: with_upstream(
        case, layer_norm(n["x"], n["gamma"], n["beta"], case.meta["eps"])),
    "attention": lambda case, n: with_upstream(
        case, attention(n["x"], n, "attn", case.meta["heads"], case.meta["causal"])),
    "softmax_xent": softmax_xent,
    "loss_uneven": loss_uneven,
}


def adamw(case):
    """p, m and v after each of the given gradients."""
    p = case.inputs["p0"]
    m, v = np.zeros_like(p), np.zeros_like(p)
    rows = []
    for step, g in enumerate(case.inputs["g"], start=1):
        p, m, v = adamw_step(p, g, m, v, step, **case.meta)
        rows.append((p, m, v))
    return {f"outputs/{name}": np.stack(column) for name, column in zip("pmv", zip(*rows))}


def sgd(case):
    """p and m after each of the given gradients."""
    p = case.inputs["p0"]
    m = np.zeros_like(p)
    rows = []
    for g in case.inputs["g"]:
        p, m = sgd_step(p, g, m, **case.meta)
        rows.append((p, m))
    return {f"outputs/{name}": np.stack(column) for name, column in zip("pm", zip(*rows))}


def muon(case):
    """p, m and o after each of the given gradients: matrices of a stack each on its own."""
    p = case.inputs["p0"]
    matrices = p.reshape(-1, *p.shape[-2:])
    m = np.zeros_like(matrices)
    rows = []
    for g in case.inputs["g"]:
        stepped = [muon_step(*parts, **case.meta) for parts in zip(matrices, g.reshape(matrices.shape), m)]
        matrices, m, o = (np.stack(column) for column in zip(*stepped))
        rows.append([part.reshape(p.shape) for part in (matrices, m, o)])
    return {f"outputs/{name}": np.stack(column) for name, column in zip("pmo", zip(*rows))}


STEPS = {"adamw": adamw, "sgd": sgd, "muon": muon}


# Mixture of experts.

def routing_results(group, r, suffix="", kept_type=np.float64):
    return {f"{group}/probs{suffix}": r.probs.value, f"{group}/experts{suffix}": r.experts,
            f"{group}/gates{suffix}": r.gates.value, f"{group}/kept{suffix}": r.kept.astype(kept_type),
            f"{group}/place{suffix}": r.place, f"{group}/capacity{suffix}": r.capacity}


def routing(case, n, decisions):
    meta = case.meta
    r = route(n["logits"], decisions, meta["k"], meta["renorm"], meta["capacity_factor"])
    E = r.probs.shape[1]
    first_share = np.bincount(r.experts[:, 0], minlength=E) / len(r.experts)
    results = routing_results("outputs", r, kept_type=np.int64)
    # Files of this kind keep the capacity with the options it follows from.
    results["meta/capacity"] = results.pop("outputs/capacity")
    results.update({
        "outputs/counts_before": np.bincount(r.experts.ravel(), minlength=E),
        "outputs/counts_after": np.bincount(r.experts[r.kept == 1], minlength=E)})
    aux = r.aux
    if "sequence_length" in meta:
        each = sequence_losses(r.probs, r.experts, meta["sequence_length"])
        aux = each.mean(axis=0)
        results.update({"outputs/aux_per_sequence": each.value, "outputs/aux_whole_batch": r.aux.value})
    else:
        results["outputs/aux_first_choice"] = E * (first_share * r.probs.value.mean(axis=0)).sum()
    results["outputs/aux"] = aux.value
    loss = (r.gates * r.kept * case.inputs["dgates"]).sum() + meta["aux_coef"] * aux
    return Forward(results, {"": loss, "aux_": aux})


def moe(case, n, decisions):
    meta = case.meta
    logits = gate_logits(n["x"], n["gate"])
    if case.router == "sigmoid":
        results, y, aux = sigmoid_moe(meta, case.inputs["selection_bias"], logits, n, decisions)
        return Forward(results, {"": (y * case.inputs["dy"]).sum() + meta["aux_coef"] * aux})
    if case.router == "expert_choice":
        results, y = expert_choice_moe(meta, logits, n, decisions)
        return Forward(results, {"": (y * case.inputs["dy"]).sum()})
    r = route(logits, decisions, meta["k"], meta["renorm"],
              meta["capacity_factor"], identities=meta.get("identity_experts", 0))
    y = run_experts(n["x"], n, r)
    results = {"outputs/y": y.value, "outputs/aux": r.aux.value, **routing_results("routing", r)}
    return Forward(results, {"": (y * case.inputs["dy"]).sum() + meta["aux_coef"] * r.aux})


def pair_case(case, n, decisions):
    options = {name: value for name, value in case.meta.items() if name != "aux_coef"}
    out, aux, states, routings = pair(n["x"], n, PairOptions(case.variant, **options), decisions)
    loss = (out * case.inputs["dout"]).sum() + case.meta["aux_coef"] * aux
    results = {"outputs/out": out.value, "outputs/aux": aux.value, "outputs/loss": loss.value}
    results.update({f"inner/{name}": state.value for name, state in states.items()})
    for suffix, r in routings.items():
        results.update(routing_results("inner", r, suffix))
    return Forward(results, {"": loss})


def model_case(case, n, decisions):
    logits, loss, aux = model(case, n, decisions)
    return Forward({"outputs/logits": logits.value, "outputs/loss": loss.value,
                    "outputs/aux": aux.value}, {"": loss})
