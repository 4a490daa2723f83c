"""A reference case and its HDF5 file."""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np


@dataclass
class Case:
    """What defines a case; everything else in its file follows from it."""
    name: str
    kind: str                 # operation, routing, moe, pair, model
    about: str
    meta: dict = field(default_factory=dict)     # Python numbers or tuples; int and float differ in the file
    inputs: dict = field(default_factory=dict)   # float64 or int64 arrays
    weights: dict = field(default_factory=dict)  # float64 arrays
    variant: str = None       # pairs and models
    backbone: str = None      # models
    router: str = None        # None: softmax
    ties: bool = False        # exact ties between experts are meant to happen


def write_case(folder, case, results):
    """Writes `case` and its `results`, arrays by path such as "outputs/y", to FOLDER/NAME.h5."""
    with h5py.File(Path(folder) / f"{case.name}.h5", "w", libver="earliest") as file:
        file.attrs["kind"] = case.kind
        file.attrs["about"] = case.about
        for attribute in ("variant", "backbone", "router"):
            if getattr(case, attribute) is not None:
                file.attrs[attribute] = getattr(case, attribute)
        for group in ("meta", "inputs", "weights"):
            for name, value in getattr(case, group).items():
                _write(file, f"{group}/{name}", value)
        for path, value in results.items():
            _write(file, path, value)


def read_case(path):
    """The case in a file, and the stored results by path."""
    path = Path(path)
    with h5py.File(path, "r") as file:
        stored = {}
        file.visititems(lambda name, item: stored.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
        case = Case(path.stem, file.attrs["kind"], file.attrs["about"],
                    variant=file.attrs.get("variant"), backbone=file.attrs.get("backbone"),
                    router=file.attrs.get("router"))
    results = {}
    for name, value in stored.items():
        group, _, rest = name.partition("/")
        if group == "meta" and rest != "capacity":  # the capacity follows from the other numbers
            case.meta[rest] = value[0].item() if value.size == 1 else tuple(value.tolist())
        elif group in ("inputs", "weights"):
            getattr(case, group)[rest] = value
        else:
            results[name] = value
    return case, results


def _write(file, path, value):
    """Whole numbers become int64 and others float64, little-endian; scalars get shape (1,)."""
    value = np.atleast_1d(np.asarray(value))
    dtype = "<i8" if value.dtype.kind in "iu" else "<f8"
    file.create_dataset(path, data=value, dtype=dtype)
