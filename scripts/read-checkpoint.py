#!/usr/bin/env python3
"""Reads a checkpoint of mmoe with h5py alone: scripts/read-checkpoint.py FILE (Debian: python3-h5py)."""
import sys

import h5py

with h5py.File(sys.argv[1], "r") as file:
    print(f"{file.attrs['task']}, step {file.attrs['step']}, {file.attrs['variant']}")
    model = {}
    file["model"].visititems(lambda path, item: model.update({path: item}) if hasattr(item, "shape") else None)
    for path, array in model.items():
        print(f"{path:60} {str(array.shape):20} rms {(array[...] ** 2).mean() ** 0.5:.4f}")
