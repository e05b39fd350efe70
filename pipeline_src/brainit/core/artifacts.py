"""Read and write artifacts, the files that steps pass to each other, and check their contracts.

An artifact is a safetensors file: named tensors with a fixed dtype and named axes, and a JSON
header with attributes (settings digest, seed, subjects, ...). Within a file, axes of the same name
have the same length. Tables are CSV. Nothing is pickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.reading import foreign_error, reading

_SAFETENSORS_ERRORS = (SafetensorError, ValueError, RecursionError)
TABLE_ERRORS = (ValueError, OverflowError, LookupError, RecursionError)
"""Exceptions of pandas for text that is no table."""
_N_SHOWN = 12
_MAPPED_BYTES = 64 << 20
"""Bytes to read of a file before it is mapped anew."""


@dataclass(frozen=True)
class TensorSpec:
    """Dtype, axes and unit of one tensor; an artifact may lack a tensor that `is_optional`."""

    dtype: str
    axes: tuple[str, ...]
    unit: str = ""
    is_optional: bool = False


@dataclass(frozen=True)
class Contract:
    """Tensors and attributes of an artifact; `free_tensors` allows others too (state dicts)."""

    tensors: Mapping[str, TensorSpec] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    free_tensors: bool = False
    made_by: str = ""


@dataclass(frozen=True)
class Artifact:
    """Tensors (NumPy arrays) and attributes of an artifact that was read."""

    tensors: dict[str, NDArray[Any]]
    attributes: dict[str, Any]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.tensors[name]


CONTRACTS: dict[str, Contract] = {
    "voxels": Contract(
        {
            "vertex": TensorSpec(
                "int64", ("voxels",), "vertex of its hemisphere, or x + X(y + Yz)"
            ),
            "hemisphere": TensorSpec("int64", ("voxels",), "0 left, 1 right, -1 unknown"),
            "position_mm": TensorSpec("float32", ("voxels", "xyz"), "mm"),
            "noise_ceiling": TensorSpec("float32", ("voxels",), "percent of variance, 3 repeats"),
        },
        ("subject", "space", "mask", "n_dropped_nan"),
        made_by="prepare_betas or prepare_lab_subject",
    ),
    "noise_ceiling": Contract(
        {
            "published": TensorSpec("float32", ("voxels",), "percent, from ncsnr"),
            "recomputed": TensorSpec("float32", ("voxels",), "percent, from the trials"),
        },
        ("subject", "n_repeats"),
        made_by="estimate_noise_ceiling or prepare_lab_subject",
    ),
    "encoder": Contract(
        {"voxel_embedding": TensorSpec("float32", ("voxels", "embedding"))},
        ("subjects", "n_voxels", "settings", "backbone", "pool", "seed"),
        free_tensors=True,
        made_by="train_encoder or adapt_encoder",
    ),
    "clusters": Contract(
        {
            "voxel_cluster": TensorSpec(
                "int64", ("voxels",), "cluster of each voxel, subjects in order"
            )
        },
        ("subjects", "n_voxels", "n_clusters", "method", "seed"),
        free_tensors=True,
        made_by="cluster_voxels or assign_voxels",
    ),
    "generator": Contract(
        {}, ("name", "seed"), free_tensors=True, made_by="train_joint or adapt_joint"
    ),
    "truth": Contract(
        {
            "hemisphere": TensorSpec("int64", ("voxels",), "0 left, 1 right"),
            "vertex": TensorSpec("int64", ("voxels",), "fsaverage vertex of its hemisphere"),
            "area": TensorSpec("int64", ("voxels",), "index into the attribute `areas`"),
            "prf_x": TensorSpec("float32", ("voxels",), "fraction of the image, to the right"),
            "prf_y": TensorSpec("float32", ("voxels",), "fraction of the image, down"),
            "prf_sigma": TensorSpec("float32", ("voxels",), "fraction of the image"),
            "channel_weight": TensorSpec("float32", ("voxels", "channels")),
            "content_weight": TensorSpec("float32", ("voxels", "contents")),
            "noise_ceiling_true": TensorSpec("float32", ("voxels",), "percent, 3 repeats"),
        },
        ("subject", "areas"),
        made_by="simulate_nsd",
    ),
    "true_features": Contract(
        {"nsd_id": TensorSpec("int64", ("images",), "0-based")},
        ("networks", "eval_size", "n_same_place", "seed", "has_scenes"),
        free_tensors=True,
        made_by="extract_true_features",
    ),
    "voxel_weights": Contract(
        {"weight": TensorSpec("float32", ("voxels",), "0..1")},
        ("subject", "n_images", "encoder"),
        made_by="weigh_voxels",
    ),
    "recon_shard": Contract(
        {
            "nsd_id": TensorSpec("int64", ("images",), "0-based"),
            "image": TensorSpec("uint8", ("images", "height", "width", "rgb"), "0..255"),
            "unrefined": TensorSpec(
                "uint8", ("images", "height", "width", "rgb"), "0..255", is_optional=True
            ),
        },
        ("subject", "kind", "seed", "settings"),
        made_by="reconstruct_lowlevel, _semantic, _fused or _searched",
    ),
}
"""Contracts by kind of artifact; a decoder's class has that of its own files."""


def write_artifact(
    path: Path,
    kind: str,
    tensors: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
    contract: Contract | None = None,
) -> None:
    """Check tensors and attributes against the contract, then write them atomically.

    `contract` None: that of `kind` in `CONTRACTS`. Raises `PipelineError` where they break it.
    """
    header = {"artifact": kind, **attributes}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    _check(path, contract or CONTRACTS[kind], arrays, header)
    with atomic_path(path) as partial:
        save_file(arrays, partial, metadata={"brainit": json.dumps(header, sort_keys=True)})


def read_artifact(path: Path, kind: str, contract: Contract | None = None) -> Artifact:
    """Read an artifact and check it against its contract; None: that of `kind` in `CONTRACTS`.

    Raises `PipelineError` for a missing, truncated or foreign file and for tensors of another dtype
    or shape.
    """
    expected = f"a '{kind}' artifact"
    contract = contract or CONTRACTS[kind]
    made_by = contract.made_by
    fix = f"delete it and rerun {made_by}"
    readable = f"a readable '{kind}' artifact"
    with reading(path, readable, fix, *_SAFETENSORS_ERRORS, missing=f"run {made_by}"):
        header, tensors = _read(path)
    if header.get("artifact") != kind:
        found = f"'{header.get('artifact')}'"
        raise PipelineError(path, expected, found, fix, code="wrong-kind")
    _check(path, contract, tensors, header)
    return Artifact(tensors, header)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the attributes and tensors of a file, of which little is mapped at any time.

    What was read of a mapped file counts as this process's memory until it is closed: a U-Net of
    10 GB would take 20.
    """
    tensors: dict[str, NDArray[Any]] = {}
    with safe_open(path, framework="numpy") as handle:
        header, names = _header_of(handle), iter(handle.keys())
    name = next(names, None)
    while name is not None:
        with safe_open(path, framework="numpy") as handle:
            n_bytes = 0
            while name is not None and n_bytes < _MAPPED_BYTES:
                tensors[name] = handle.get_tensor(name)
                n_bytes += tensors[name].nbytes
                name = next(names, None)
    return header, tensors


def artifact_kind(path: Path) -> str:
    """Return the kind of an artifact, which its header says.

    Raises `PipelineError` where the file is missing or no artifact.
    """
    fix = "delete it and rerun the step that makes it"
    missing = "run the step that makes it"
    with (
        reading(path, "a readable artifact", fix, *_SAFETENSORS_ERRORS, missing=missing),
        safe_open(path, framework="numpy") as handle,
    ):
        return str(_header_of(handle).get("artifact"))


def _header_of(handle: Any) -> dict[str, Any]:
    """Return the attributes of an open file; raises ValueError where they are no JSON object."""
    header = json.loads((handle.metadata() or {}).get("brainit", "{}"))
    if not isinstance(header, dict):
        raise ValueError("a header 'brainit' that is no JSON object")
    return header


def _check(
    path: Path,
    contract: Contract,
    tensors: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
) -> None:
    fix = f"delete it and rerun {contract.made_by}"
    lengths: dict[str, int] = {}
    for tensor, spec in contract.tensors.items():
        axes = f"({', '.join(spec.axes)})"
        expected = f"tensor '{tensor}' of {spec.dtype} with axes {axes}"
        if tensor not in tensors and spec.is_optional:
            continue
        if tensor not in tensors:
            found = f"only {sorted(tensors)}"
            raise PipelineError(path, expected, found, fix, code="missing-data")
        array = tensors[tensor]
        found = f"{array.dtype} of shape {array.shape}"
        if str(array.dtype) != spec.dtype or array.ndim != len(spec.axes):
            raise PipelineError(path, expected, found, fix, code="wrong-shape")
        for axis, length in zip(spec.axes, array.shape, strict=True):
            if lengths.setdefault(axis, length) != length:
                expected = f"{expected}, {axis} = {lengths[axis]}"
                raise PipelineError(path, expected, found, fix, code="wrong-shape")
    extra = set(tensors) - set(contract.tensors)
    if extra and not contract.free_tensors:
        expected = f"only the tensors {sorted(contract.tensors)}"
        raise PipelineError(path, expected, f"also {sorted(extra)}", fix, code="wrong-kind")
    missing = [key for key in contract.attributes if key not in header]
    if missing:
        expected = f"attributes {list(contract.attributes)}"
        raise PipelineError(path, expected, f"no {missing}", fix, code="missing-data")


def read_table(
    path: Path, columns: tuple[str, ...], made_by: str, separator: str = ","
) -> pd.DataFrame:
    """Read a CSV table, or one with another separator, that must have `columns`.

    Raises `PipelineError` where the file is missing, cannot be read or lacks a column.
    """
    expected = f"a table with columns {columns}"
    fix = f"delete it and rerun {made_by}"
    with reading(path, expected, fix, *TABLE_ERRORS, missing=f"run {made_by}"):
        table = pd.read_csv(path, sep=separator)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        if foreign := foreign_error(path, expected):
            raise foreign
        found = f"no {missing}, but the columns {shown_columns(table)}"
        raise PipelineError(path, expected, found, fix, code="missing-data")
    return table


def shown_columns(table: pd.DataFrame) -> str:
    """Return the columns of a table as text, only the first of many."""
    names = [str(name) for name in table.columns]
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return f"{names[:_N_SHOWN]}{more}"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV atomically."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False)
