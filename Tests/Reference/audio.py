"""Log-mel spectrograms in float64 from their definition (LogMel in Sources/Data/Audio).

Reads {"rate": …, "to": …, "bands": …, "samples": […]} from standard input and writes {"converted": […], "mel": [[…]]}: the
samples at the rate `to`, and the bands of those at 16,000 samples per second.
"""

import json
import math
import sys

import numpy as np


def convert(x, rate, to):
    """Every output by its own sum over all inputs."""
    if rate == to:
        return x
    c = 0.95 * min(1.0, to / rate)
    count = math.ceil(len(x) * to / rate)
    places = np.arange(len(x))
    out = np.zeros(count)
    for n in range(count):
        v = c * (n * rate / to - places)
        inside = np.abs(v) < 16
        window = np.i0(9 * np.sqrt(np.clip(1 - (v / 16) ** 2, 0, None))) / np.i0(9)
        out[n] = np.sum(x * c * np.sinc(v) * np.where(inside, window, 0))
    return out


def log_mel(x, bands):
    frames = max(0, math.ceil((len(x) - 400) / 160)) + 1
    padded = np.concatenate([x, np.zeros(400 + 160 * frames)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), bands + 2)
    pitch = 2595 * np.log10(1 + np.fft.rfftfreq(512, 1 / 16000) / 700)
    sums = np.zeros((bands, frames))
    for f in range(frames):
        power = np.abs(np.fft.rfft(padded[160 * f:160 * f + 400] * hann, 512)) ** 2
        for m in range(bands):
            sums[m, f] = np.sum(power * np.interp(pitch, edges[m:m + 3], [0, 1, 0]))
    return 1 + np.log10(np.maximum(sums / sums.max(), 1e-6)) / 3


case = json.load(sys.stdin)
samples = np.array(case["samples"], dtype=np.float64)
json.dump({
    "converted": convert(samples, case["rate"], case["to"]).tolist(),
    "mel": log_mel(convert(samples, case["rate"], 16000), case["bands"]).tolist(),
}, sys.stdout)
