#!/usr/bin/env python3
"""Starts the real TensorBoard over a folder and prints, as JSON, what its server answers a browser.

    tensorboard_shows.py FOLDER [true|false]

The second word chooses TensorBoard's own reader in Rust (true, as users get it) or the one in Python (false). Runs, tags, all
scalars as [step, value], the number of bars of histograms, the sizes of pictures, and texts.
"""
import io
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from PIL import Image


def main() -> None:
    folder, fast = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "true"
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", "0", "--host", "127.0.0.1",
         "--load_fast", fast],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = None
        for line in server.stderr:
            found = re.search(r"(http://127\.0\.0\.1:\d+/)", line)
            if found:
                address = found.group(1)
                break
        if address is None:
            sys.exit("tensorboard did not start")
        print(json.dumps(answers(address), sort_keys=True))
    finally:
        server.kill()


def answers(address: str) -> dict:
    def get(path: str, **query: object) -> bytes:
        text = urllib.parse.urlencode(query)
        with urllib.request.urlopen(f"{address}data/{path}?{text}", timeout=30) as answer:
            return answer.read()

    def tags(plugin: str) -> list[tuple[str, str]]:
        found = json.loads(get(f"plugin/{plugin}/tags"))
        return [(run, tag) for run in found for tag in found[run]]

    # The server answers before it has read everything: until nothing more comes.
    runs, seen = [], None
    for _ in range(60):
        time.sleep(0.5)
        runs = json.loads(get("runs"))
        now = len(tags("scalars")), len(tags("images")), len(tags("histograms")), len(tags("text"))
        if runs and now == seen and any(now):
            break
        seen = now
    result: dict = {"runs": runs, "scalars": {}, "histograms": {}, "images": {}, "texts": {}}
    for run, tag in tags("scalars"):
        points = json.loads(get("plugin/scalars/scalars", run=run, tag=tag))
        result["scalars"][tag] = [[step, value] for _, step, value in points]
    for run, tag in tags("histograms"):
        rows = json.loads(get("plugin/histograms/histograms", run=run, tag=tag))
        result["histograms"][tag] = [[step, [right - left for left, right, _ in bars], [n for _, _, n in bars]]
                                     for _, step, bars in rows]
    for run, tag in tags("images"):
        rows = json.loads(get("plugin/images/images", run=run, tag=tag, sample=0))
        result["images"][tag] = []
        for row in rows:
            picture = Image.open(io.BytesIO(get("plugin/images/individualImage?" + row["query"] + "&x=")))
            result["images"][tag].append([row["step"], list(picture.size)])
    for run, tag in tags("text"):
        rows = json.loads(get("plugin/text/text", run=run, tag=tag))
        result["texts"][tag] = [[row["step"], row["text"]] for row in rows]
    return result


if __name__ == "__main__":
    main()
