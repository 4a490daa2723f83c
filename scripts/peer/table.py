"""Turns the raw lines of scripts/bench-vs-pytorch into a table.

Each line of the file is `{"side": "ours" | "peer", "alternation": n, "result": {…}}` with a result as printed by
`mmoe bench … --json` and `bench.py`.
"""

import json
import statistics
import sys
from dataclasses import dataclass


class TableError(Exception):
    """One line for the user."""


@dataclass(frozen=True)
class Series:
    """All runs of one program with one preset."""

    name: str
    results: list[dict]

    def values(self, key: str) -> list[float]:
        return [result[key] for result in self.results]

    @property
    def median(self) -> float:
        """Median over the runs of their median step, in milliseconds."""
        return statistics.median(self.values("step_ms_median"))

    @property
    def best(self) -> float:
        """The best step of all runs, in milliseconds."""
        return min(self.values("step_ms_best"))

    @property
    def peak(self) -> float:
        """The program's own square product in GFLOP/s: the best of all runs, since load only lowers it."""
        return max(self.values("peak_gflops"))

    @property
    def gflop(self) -> float:
        return self.results[0]["gflop_per_step"]

    @property
    def memory(self) -> float:
        """Median over the runs of the peak resident size, in 10⁶ bytes."""
        return statistics.median(self.values("peak_rss_mb"))

    def mfu(self, milliseconds: float) -> float:
        return self.gflop / milliseconds * 1e3 / self.peak

    @property
    def tokens(self) -> float:
        """Median over the runs of their tokens a second."""
        return statistics.median(self.values("tokens_per_s"))

    def step_cells(self) -> list[str]:
        medians = self.values("step_ms_median")
        bests = self.values("step_ms_best")
        return [
            self.name,
            f"{self.median:.0f}",
            f"{min(medians):.0f}-{max(medians):.0f}",
            f"{self.best:.0f}",
            f"{min(bests):.0f}-{max(bests):.0f}",
            f"{self.tokens:.0f}",
            f"{self.mfu(self.median):.2f}",
            f"{self.mfu(self.best):.2f}",
            f"{self.peak:.0f}",
            f"{self.memory:.0f}",
        ]

    def generation_cells(self) -> list[str]:
        speeds = self.values("tokens_per_s")
        return [
            self.name,
            f"{self.tokens:.1f}",
            f"{min(speeds):.1f}-{max(speeds):.1f}",
            f"{self.memory:.0f}",
        ]


STEP_HEADER = [
    "", "median ms", "range", "best ms", "range", "tokens/s", "MFU median", "MFU best",
    "2048^3 GFLOP/s", "peak MB",
]  # fmt: skip
GENERATION_HEADER = ["", "tokens/s", "range", "peak MB"]


def read_lines(path: str) -> list[dict]:
    lines = []
    try:
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                try:
                    lines.append(json.loads(text))
                except ValueError:
                    raise TableError(f"{path}: line {number} is not JSON: {text.strip()[:80]}")
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}")
    if not lines:
        raise TableError(f"{path}: no measurements")
    return lines


def series_of(lines: list[dict]) -> tuple[list[Series], Series]:
    """Ours, one a backend in order of appearance, and the peer's."""
    ours: dict[str, list[dict]] = {}
    peer = []
    for line in lines:
        if line["side"] == "peer":
            peer.append(line["result"])
        else:
            ours.setdefault(line["result"]["backend"], []).append(line["result"])
    preset = lines[0]["result"]["preset"]
    if not peer or not ours:
        raise TableError(f"{preset}: both programs must have been measured")
    first = peer[0]
    generates = first["mode"] == "generate"
    sizes = ("prompt_tokens", "new_tokens") if generates else ("dtype", "batch")
    for result in peer + [result for results in ours.values() for result in results]:
        for key in ("mode", "variant", "threads", *sizes):
            if result[key] != first[key]:
                raise TableError(f"{preset}: the runs differ in {key}: {result[key]}, {first[key]}")
        if not generates and abs(result["gflop_per_step"] / first["gflop_per_step"] - 1) > 1e-3:
            raise TableError(
                f"{preset}: the models differ: {result['gflop_per_step']:.2f} and"
                f" {first['gflop_per_step']:.2f} GFLOP a step"
            )
    named = [Series(f"mmoe, {backend}", results) for backend, results in ours.items()]
    return named, Series(f"{first['framework']}, {first['backend']}", peer)


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])])
        for row in rows
    ]


def generation_text(ours: list[Series], peer: Series) -> list[str]:
    first = peer.results[0]
    text = [
        f"{first['preset']}, generate, {first['variant']}, {first['dtype']}: {first['new_tokens']} tokens after"
        f" {first['prompt_tokens']}, {first['threads']} threads, {len(peer.results)} alternations of"
        f" {first['repetitions']} texts, of which the best counts"
    ]
    text += aligned([GENERATION_HEADER] + [series.generation_cells() for series in ours + [peer]])
    return text + [
        f"{series.name} against the peer: {series.tokens / peer.tokens:.2f} x the tokens a second by medians,"
        f" {max(series.values('tokens_per_s')) / max(peer.values('tokens_per_s')):.2f} x by best runs,"
        f" {series.memory / peer.memory:.2f} x the memory"
        for series in ours
    ]


def step_text(ours: list[Series], peer: Series) -> list[str]:
    first = peer.results[0]
    text = [
        f"{first['preset']}, {first['mode']}, {first['variant']}, {first['dtype']}:"
        f" batch {first['batch']}, {peer.gflop:.1f} GFLOP a step, {first['threads']} threads,"
        f" {len(peer.results)} alternations of {first['steps']} steps"
    ]
    text += aligned([STEP_HEADER] + [series.step_cells() for series in ours + [peer]])
    share, needed = peer.mfu(peer.best), first["needed_share"]
    is_void = first["mode"] == "train" and share < needed
    for series in ours:
        text.append(
            f"{'void: ' if is_void else ''}{series.name} against the peer:"
            f" {peer.best / series.best:.2f} x the speed by best steps,"
            f" {peer.median / series.median:.2f} x by medians, {series.memory / peer.memory:.2f} x the"
            " memory"
        )
    if is_void:
        text.append(
            f"void because the peer's best step reaches {share:.2f} of PyTorch's own square product,"
            f" {needed:.2f} is needed; repeat on an idle machine"
        )
    return text


def preset_text(lines: list[dict]) -> str:
    ours, peer = series_of(lines)
    generates = peer.results[0]["mode"] == "generate"
    return "\n".join((generation_text if generates else step_text)(ours, peer))


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: table.py FILE", file=sys.stderr)
        return 2
    try:
        by_preset: dict[str, list[dict]] = {}
        for line in read_lines(sys.argv[1]):
            by_preset.setdefault(line["result"]["preset"], []).append(line)
        print("\n\n".join(preset_text(lines) for lines in by_preset.values()))
    except TableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"{sys.argv[1]}: a measurement lacks the key {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
