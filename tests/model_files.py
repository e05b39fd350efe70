"""A pool's models in their files, as small as they can be."""

from pathlib import Path

import numpy as np
import torch

from brainit.core.artifacts import write_artifact
from brainit.core.settings import BitSettings
from brainit.models.brain_transformer import save_bit
from tests.small_models import small_bit


def write_models(folder: Path, n_voxels: dict[str, int] | None = None) -> Path:
    """Write the six files of a pool below `folder` and return it."""
    counts = n_voxels or {"subj01": 5, "subj02": 6}
    total = sum(counts.values())
    about = {"subjects": list(counts), "n_voxels": counts, "seed": 1}
    embedding = np.random.default_rng(0).standard_normal((total, 3)).astype(np.float32)
    encoder = {**about, "settings": {}, "backbone": "demo_vit", "pool": "all"}
    path = folder / "encoder" / "encoder.safetensors"
    path.parent.mkdir(parents=True)
    write_artifact(path, "encoder", {"voxel_embedding": embedding}, encoder)
    cluster = np.arange(total) % 2
    path = folder / "clusters" / "clusters.safetensors"
    path.parent.mkdir()
    header = {**about, "n_clusters": 2, "method": "gmm"}
    write_artifact(path, "clusters", {"voxel_cluster": cluster.astype(np.int64)}, header)
    for place, kind in (
        ("bit_lowlevel", "lowlevel"),
        ("bit_semantic", "semantic"),
        ("joint", "semantic"),
    ):
        model = small_bit(torch.from_numpy(cluster), 2, n_queries=2, out_width=3, width=4)
        sizes = BitSettings(width=4, n_heads=2, n_blocks=1)
        (folder / place).mkdir()
        target = folder / place / "bit.safetensors"
        save_bit(target, model, subjects=counts, kind=kind, settings=sizes, seed=1)
    weights = {"conv_in.weight": np.ones((2, 2), np.float32)}
    path = folder / "joint" / "generator.safetensors"
    write_artifact(path, "generator", weights, {"name": "unclip6", "seed": 1})
    return folder
