#!/usr/bin/env python3
"""Times mmoe's presets in PyTorch: training steps, forward passes, generation; ends with one line of JSON.

The keys are those of `mmoe bench … --json`. `scripts/bench-vs-pytorch` runs it with the allocator settings that
suit it best; run alone it works too, a little slower.
"""

import argparse
import json
import resource
import statistics
import sys
import time
import warnings

# NumPy is not used and not installed; importing torch says so.
warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch
from torch import nn

import gpt_moe
import vit_moe

PRESETS = vit_moe.PRESETS | gpt_moe.PRESETS
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
# The first steps compile, touch memory for the first time and grow the heap.
WARM_UP = 5
# Generation: one text, new tokens up to the context's end at most.
PROMPT, NEW_TOKENS = 32, 128


def autocast(dtype: str):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16")


def training_step(model: nn.Module, dtype: str):
    """A function of the model's inputs that makes one step with AdamW."""
    undecayed = [p for name, p in model.named_parameters() if "norm" in name or "bias" in name]
    decayed = [p for name, p in model.named_parameters() if not ("norm" in name or "bias" in name)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": undecayed, "weight_decay": 0.0}],
        lr=1e-4,
        fused=True,
    )
    parameters = decayed + undecayed

    def step(*inputs):
        optimizer.zero_grad(set_to_none=True)
        with autocast(dtype):
            loss = model.loss(*inputs)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()

    return step


def forward_pass(model: nn.Module, dtype: str):
    """A function of the model's inputs that computes the loss only."""

    @torch.no_grad()
    def step(*inputs):
        with autocast(dtype):
            model.loss(*inputs)

    return step


def seconds_of(step, count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def product_peak(dtype: str, size: int = 2048, rounds: int = 20) -> float:
    """PyTorch's own GFLOP/s for a square product, best round; one round where that takes seconds, as bf16 does on
    processors without instructions for it."""
    a, b = (torch.randn(size, size).to(DTYPES[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    times = seconds_of(lambda: torch.mm(a, b, out=out), 1)
    if times[0] < 1:
        times += seconds_of(lambda: torch.mm(a, b, out=out), rounds)
    return 2 * size**3 / min(times) / 1e9


def peak_resident_megabytes() -> float:
    """The largest resident size of this process so far, in 10⁶ bytes."""
    # Linux counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def blas_name() -> str:
    settings = torch.__config__.show().split("BLAS_INFO=")
    return settings[1].split(",")[0] if len(settings) > 1 else "unknown"


def step_figures(arguments) -> dict:
    """Warm-up, timed steps, the product peak on the same threads, and the figures of it all."""
    preset, mode, dtype = PRESETS[arguments.preset], arguments.mode, arguments.dtype
    config, batch = preset.config, preset.batch
    model = arguments.model(config)
    inputs = model.inputs(batch)
    step = (training_step if mode == "train" else forward_pass)(model, dtype)
    seconds_of(lambda: step(*inputs), WARM_UP)
    times = seconds_of(lambda: step(*inputs), arguments.steps)

    median, best = statistics.median(times), min(times)
    gflop = batch * config.forward_flops() * (3 if mode == "train" else 1) / 1e9
    # Before the products are timed: their matrices are not the model's memory.
    rss = peak_resident_megabytes()
    peak = product_peak(dtype)
    return {
        "batch": batch,
        "steps": arguments.steps,
        "tokens_per_s": batch * config.tokens / median,
        "step_ms_median": median * 1e3,
        "step_ms_best": best * 1e3,
        "gflop_per_step": gflop,
        "gflops": gflop / median,
        "gflops_best": gflop / best,
        "peak_gflops": peak,
        "mfu": gflop / median / peak,
        "mfu_best": gflop / best / peak,
        "needed_share": preset.needed_share.get(dtype, 0),
        "peak_rss_mb": rss,
    }


def generation_figures(arguments) -> dict:
    """Whole generations after one of warm-up; the best counts."""
    model = arguments.model(PRESETS[arguments.preset].config).to(DTYPES[arguments.dtype])
    generator = gpt_moe.Generator(model)
    prompt = torch.arange(PROMPT) % model.config.vocabulary
    count = min(NEW_TOKENS, model.config.context - PROMPT)
    runs = [generator.generate(prompt, count) for _ in range(1 + arguments.steps)][1:]
    return {
        "repetitions": arguments.steps,
        "prompt_tokens": PROMPT,
        "new_tokens": count,
        "tokens_per_s": count / min(seconds for _, _, seconds in runs),
        "prompt_ms": min(seconds for _, seconds, _ in runs) * 1e3,
        "peak_rss_mb": peak_resident_megabytes(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="vit-tiny")
    parser.add_argument("--mode", choices=["train", "forward", "generate"], default="train")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="measured steps, or texts generated")
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.steps < 1:
        parser.error("--threads and --steps must be at least 1")
    is_gpt = arguments.preset in gpt_moe.PRESETS
    if arguments.mode == "generate" and not is_gpt:
        parser.error(f"--mode generate needs one of {', '.join(gpt_moe.PRESETS)}")
    arguments.model = gpt_moe.GPT if is_gpt else vit_moe.VisionTransformer

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    figures = (generation_figures if arguments.mode == "generate" else step_figures)(arguments)
    result = {
        "framework": f"pytorch {torch.__version__}",
        "mode": arguments.mode,
        "preset": arguments.preset,
        "variant": "top2",
        "dtype": arguments.dtype,
        "backend": f"{blas_name()}, kernels {torch.backends.cpu.get_cpu_capability()}",
        "threads": arguments.threads,
        **figures,
    }
    share, needed = result.get("mfu_best", 1), result.get("needed_share", 0)
    if arguments.mode == "train" and share < needed:
        print(
            f"void: the peer reached {share:.2f} of PyTorch's own product, {needed:.2f} is needed",
            file=sys.stderr,
        )
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
