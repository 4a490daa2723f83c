#!/usr/bin/env python3
"""Times training steps or forward passes of mmoe's presets in PyTorch; ends with one line of JSON.

The keys are those of `mmoe bench train --json`. `scripts/bench-vs-pytorch` runs it with the allocator settings
that suit it best; run alone it works too, a little slower.
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

from model import Config, VisionTransformer

# Sizes, batch, and the share of PyTorch's own sgemm below which the peer is no fair opponent.
PRESETS = {
    "vit-tiny": (Config(layers=6, width=192, heads=3, image=32, patch=4, classes=10), 64, 0.55),
    "vit-small": (Config(layers=8, width=384, heads=6, image=64, patch=8, classes=200), 32, 0.75),
}
# The first steps compile, touch memory for the first time and grow the heap.
WARM_UP = 5


def training_step(model: VisionTransformer):
    """A function of (images, labels) that makes one step with AdamW."""
    undecayed = [p for name, p in model.named_parameters() if "norm" in name or "bias" in name]
    decayed = [p for name, p in model.named_parameters() if not ("norm" in name or "bias" in name)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": undecayed, "weight_decay": 0.0}],
        lr=1e-4,
        fused=True,
    )
    parameters = decayed + undecayed

    def step(images, labels):
        optimizer.zero_grad(set_to_none=True)
        model.loss(images, labels).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()

    return step


def forward_pass(model: VisionTransformer):
    """A function of (images, labels) that computes logits only."""

    @torch.no_grad()
    def step(images, labels):
        model(images)

    return step


def seconds_of(step, count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def sgemm_peak(size: int = 2048, rounds: int = 20) -> float:
    """PyTorch's own GFLOP/s for a square product, best round."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return 2 * size**3 / min(seconds_of(lambda: torch.mm(a, b, out=out), rounds)) / 1e9


def blas_name() -> str:
    settings = torch.__config__.show().split("BLAS_INFO=")
    return settings[1].split(",")[0] if len(settings) > 1 else "unknown"


def measure(preset: str, mode: str, threads: int, steps: int) -> dict:
    """Warm-up, `steps` timed steps, the product peak on the same threads, and the figures of it all."""
    config, batch, needed_share = PRESETS[preset]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = VisionTransformer(config)
    images = torch.randn(batch, config.channels, config.image, config.image)
    labels = torch.arange(batch) % config.classes
    step = training_step(model) if mode == "train" else forward_pass(model)
    seconds_of(lambda: step(images, labels), WARM_UP)
    times = seconds_of(lambda: step(images, labels), steps)

    median, best = statistics.median(times), min(times)
    gflop = batch * config.forward_flops() * (3 if mode == "train" else 1) / 1e9
    peak = sgemm_peak()
    return {
        "framework": f"pytorch {torch.__version__}",
        "mode": mode,
        "preset": preset,
        "variant": "top2",
        "dtype": "float32",
        "backend": f"{blas_name()}, kernels {torch.backends.cpu.get_cpu_capability()}",
        "threads": threads,
        "batch": batch,
        "steps": steps,
        "tokens_per_s": batch * config.tokens / median,
        "images_per_s": batch / median,
        "step_ms_median": median * 1e3,
        "step_ms_best": best * 1e3,
        "gflop_per_step": gflop,
        "gflops": gflop / median,
        "gflops_best": gflop / best,
        "peak_gflops": peak,
        "mfu": gflop / median / peak,
        "mfu_best": gflop / best / peak,
        "needed_share": needed_share,
        # Linux counts in KiB.
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="vit-tiny")
    parser.add_argument("--mode", choices=["train", "forward"], default="train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.steps < 1:
        parser.error("--threads and --steps must be at least 1")
    result = measure(arguments.preset, arguments.mode, arguments.threads, arguments.steps)
    share, needed = result["mfu_best"], result["needed_share"]
    if arguments.mode == "train" and share < needed:
        print(
            f"void: the peer reached {share:.2f} of PyTorch's sgemm, {needed:.2f} is needed",
            file=sys.stderr,
        )
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
