#!/usr/bin/env python3
"""Reads a checkpoint of mmoe with h5py alone: scripts/read-checkpoint.py FILE (Debian: python3-h5py)."""
import sys

import h5py


def arrays(group, path=""):
    for name, item in group.items():  # follows links to parts, which visititems does not
        yield from [(path + name, item)] if hasattr(item, "shape") else arrays(item, f"{path}{name}.")


with h5py.File(sys.argv[1], "r") as file:
    print(f"{file.attrs['task']}, step {file.attrs['step']}, {file.attrs['variant']}")
    for path, array in arrays(file["model"]):
        print(f"{path:60} {str(array.shape):20} rms {(array[...] ** 2).mean() ** 0.5:.4f}")
