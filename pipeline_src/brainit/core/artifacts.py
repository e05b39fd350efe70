"""Contracts of the files that steps hand to each other, and the only way to read and write them.

An artifact is a safetensors file: named tensors with fixed dtype and named axes, and a JSON header
with its attributes (settings digest, seed, subjects, ...). Axes of one name have one length
throughout a file. Tables are CSV. Nothing is pickled.
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


@dataclass(frozen=True)
class TensorSpec:
    """Dtype, axes and unit of one tensor of an artifact, which may lack one that `is_optional`."""

    dtype: str
    axes: tuple[str, ...]
    unit: str = ""
    is_optional: bool = False


@dataclass(frozen=True)
class Contract:
    """What an artifact holds. `free_tensors` allows further tensors of any name (state dicts)."""

    tensors: Mapping[str, TensorSpec] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    free_tensors: bool = False
    made_by: str = ""


@dataclass(frozen=True)
class Artifact:
    """A read artifact: its tensors as NumPy arrays and its attributes."""

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
            "hemisphere": TensorSpec("int64", ("voxels",), "0 left, 1 right, -1 not known"),
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
    "bit": Contract(
        {
            "voxel_embedding": TensorSpec("float32", ("voxels", "width")),
            "voxel_cluster": TensorSpec("int64", ("voxels",)),
        },
        ("subjects", "n_voxels", "settings", "kind", "seed", "n_queries", "out_width"),
        free_tensors=True,
        made_by="train_bit, train_joint, adapt_bit or adapt_joint",
    ),
    "mlp": Contract(
        {"voxel_weight": TensorSpec("float32", ("voxels", "hidden"))},
        ("subjects", "n_voxels", "seed", "n_queries", "out_width"),
        free_tensors=True,
        made_by="train_bit with bit_lowlevel.decoder: mlp",
    ),
    "generator": Contract(
        {}, ("name", "seed"), free_tensors=True, made_by="train_joint or adapt_joint"
    ),
    "truth": Contract(
        {
            "hemisphere": TensorSpec("int64", ("voxels",), "0 left, 1 right"),
            "vertex": TensorSpec("int64", ("voxels",), "fsaverage vertex of its hemisphere"),
            "area": TensorSpec("int64", ("voxels",), "place in the attribute `areas`"),
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
    "recon_shard": Contract(
        {
            "nsd_id": TensorSpec("int64", ("images",), "0-based"),
            "image": TensorSpec("uint8", ("images", "height", "width", "rgb"), "0..255"),
            "unrefined": TensorSpec(
                "uint8", ("images", "height", "width", "rgb"), "0..255", is_optional=True
            ),
        },
        ("subject", "kind", "seed", "settings"),
        made_by="reconstruct_lowlevel, reconstruct_semantic or reconstruct_fused",
    ),
}


def write_artifact(
    path: Path, contract: str, tensors: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> None:
    """Check `tensors` and `attributes` against the contract and write them, whole or not at all."""
    header = {"artifact": contract, **attributes}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    _check(path, contract, arrays, header)
    with atomic_path(path) as partial:
        save_file(arrays, partial, metadata={"brainit": json.dumps(header, sort_keys=True)})


def read_artifact(path: Path, contract: str) -> Artifact:
    """Read an artifact and check it against its contract.

    Raises `PipelineError` for a missing, truncated or foreign file and for tensors of another dtype
    or shape.
    """
    fix = f"delete it and rerun {CONTRACTS[contract].made_by}"
    if not Path(path).is_file():
        raise PipelineError(
            path, f"a '{contract}' artifact", "no file", f"run {CONTRACTS[contract].made_by}"
        )
    try:
        with safe_open(path, framework="numpy") as handle:
            header = json.loads((handle.metadata() or {}).get("brainit", "{}"))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise PipelineError(path, f"a readable '{contract}' artifact", str(error), fix) from error
    if header.get("artifact") != contract:
        raise PipelineError(path, f"a '{contract}' artifact", f"'{header.get('artifact')}'", fix)
    _check(path, contract, tensors, header)
    return Artifact(tensors, header)


def _check(
    path: Path, name: str, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
) -> None:
    contract = CONTRACTS[name]
    fix = f"delete it and rerun {contract.made_by}"
    lengths: dict[str, int] = {}
    for tensor, spec in contract.tensors.items():
        axes = f"({', '.join(spec.axes)})"
        expected = f"tensor '{tensor}' of {spec.dtype} with axes {axes}"
        if tensor not in tensors and spec.is_optional:
            continue
        if tensor not in tensors:
            raise PipelineError(path, expected, f"only {sorted(tensors)}", fix)
        array = tensors[tensor]
        found = f"{array.dtype} of shape {array.shape}"
        if str(array.dtype) != spec.dtype or array.ndim != len(spec.axes):
            raise PipelineError(path, expected, found, fix)
        for axis, length in zip(spec.axes, array.shape, strict=True):
            if lengths.setdefault(axis, length) != length:
                raise PipelineError(path, f"{expected}, {axis} = {lengths[axis]}", found, fix)
    extra = set(tensors) - set(contract.tensors)
    if extra and not contract.free_tensors:
        raise PipelineError(
            path, f"only the tensors {sorted(contract.tensors)}", f"also {sorted(extra)}", fix
        )
    missing = [key for key in contract.attributes if key not in header]
    if missing:
        raise PipelineError(path, f"attributes {list(contract.attributes)}", f"no {missing}", fix)


def read_table(
    path: Path, columns: tuple[str, ...], made_by: str, separator: str = ","
) -> pd.DataFrame:
    """Read a table that must have `columns`, a CSV or one with another separator.

    Raises `PipelineError` where it lacks one or cannot be read.
    """
    try:
        table = pd.read_csv(path, sep=separator)
    except (OSError, ValueError) as error:
        raise PipelineError(
            path, f"a table with columns {columns}", str(error), f"rerun {made_by}"
        ) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise PipelineError(
            path, f"columns {columns}", f"no {missing}", f"delete it and rerun {made_by}"
        )
    return table


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV, whole or not at all."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False)
