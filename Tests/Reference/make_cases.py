#!/usr/bin/env python3
"""Writes the float64 reference cases, verifies their gradients, compares definitions with others'.

    make_cases.py OUTDIR                write every case to OUTDIR
    make_cases.py OUTDIR --only GLOB    only the cases whose name matches
    make_cases.py --list                print the names
    make_cases.py --check               gradients against central differences; writes nothing
    make_cases.py --compare DIR         recompute the case files of DIR from their inputs
"""

import argparse
import fnmatch
import os
import sys
from pathlib import Path

# The products here are too small to share; must be set before numpy loads its BLAS.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

import verify  # noqa: E402
from casefile import write_case  # noqa: E402
from catalogue import RECIPES, make_case  # noqa: E402
from evaluate import differentiable  # noqa: E402

CHECK_BOUND = 1e-6
COMPARE_BOUND = 1e-9


def main():
    options = parse_arguments()
    if options.compare:
        return compare(options.compare)
    names = [name for name in RECIPES if fnmatch.fnmatchcase(name, options.only)]
    if not names:
        print(f"no case matches --only {options.only!r}; --list prints the names", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(names))
        return 0
    if options.check:
        return check(names, options.seed)
    options.outdir.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_case(options.outdir, *make_case(name, options.seed))
    print(f"{len(names)} cases written to {options.outdir}")
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="Write or verify the float64 reference cases.")
    parser.add_argument("outdir", nargs="?", type=Path, help="folder to write the cases to")
    parser.add_argument("--only", default="*", metavar="GLOB", help="names of cases, such as 'pair_*'")
    parser.add_argument("--seed", type=int, default=0, help="other random numbers for every case")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--check", action="store_true",
                        help=f"verify gradients by central differences to {CHECK_BOUND:g}")
    parser.add_argument("--compare", type=Path, metavar="DIR",
                        help=f"recompute the case files of DIR; they must agree to {COMPARE_BOUND:g}")
    options = parser.parse_args()
    tasks = (options.outdir, options.list, options.check, options.compare)
    if sum(bool(task) for task in tasks) != 1:
        parser.error("name one of OUTDIR, --list, --check and --compare")
    if options.compare and not list(options.compare.glob("*.h5")):
        parser.error(f"no .h5 file in {options.compare}")
    return options


def check(names, seed):
    failed = 0
    for name in names:
        case, _ = make_case(name, seed)
        if not differentiable(case):
            print(f"{name:44} no gradients")
            continue
        error, where = verify.check_gradients(case, np.random.default_rng(seed))
        failed += error > CHECK_BOUND
        print(f"{name:44} {error:9.1e}  {where}", flush=True)
    print(f"{failed} of {len(names)} cases past {CHECK_BOUND:g}")
    return int(failed > 0)


def compare(folder):
    failed = 0
    for file, difference, where in verify.compare_folder(folder):
        failed += difference > COMPARE_BOUND
        print(f"{file:44} {difference:9.1e}  {where}", flush=True)
    print(f"{failed} files past {COMPARE_BOUND:g}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
