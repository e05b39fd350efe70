"""The authors' published checkpoints (hub: RomanBeliy/Brain-IT) as this pipeline's own files.

| their file | ours, below the folder of pool `all` |
| --- | --- |
| `encoder_ch128.pth` | `encoder/encoder.safetensors` |
| `v2c_128_mapping_gmm_v2.npy` | `clusters/clusters.safetensors` |
| `decoder_vgg_ext-1_batch64_save.pth` | `bit_lowlevel/bit.safetensors` |
| `decoder_clipg_ext-1_save.pth` | `bit_semantic/bit.safetensors` |
| `combined_model.ckpt` | `joint/bit.safetensors`, `joint/generator.safetensors` |

The files are read as tensors by qualified name, also from whole pickled modules. In a larger tree a
network's prefix is found by a name that only this network has. Written from the names of the
released code; not tested on the authors' own files.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainit.core.artifacts import write_artifact
from brainit.core.errors import PipelineError
from brainit.core.reading import open_npy
from brainit.core.settings import BitSettings, EncoderSettings
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.dinov2 import DinoSize, build_dinov2
from brainit.features.sgm_names import UNET_PREFIX, from_sgm, names_of_unet
from brainit.features.unclip import UNCLIP6, SdxlSize, build_parts
from brainit.features.weights_file import load_state
from brainit.models.authors import bit_names, encoder_names
from brainit.models.brain_transformer import BrainInteractionTransformer, save_bit
from brainit.models.generator_file import save_unet
from brainit.models.voxel_encoder import VoxelEncoder, save_encoder

logger = logging.getLogger(__name__)

ENCODER_FILE = "encoder_ch128.pth"
CLUSTERS_FILE = "v2c_128_mapping_gmm_v2.npy"
LOWLEVEL_FILE = "decoder_vgg_ext-1_batch64_save.pth"
SEMANTIC_FILE = "decoder_clipg_ext-1_save.pth"
JOINT_FILE = "combined_model.ckpt"

N_VOXELS = (39548, 39548, 39548, 39548, 39548, 39198, 39548, 39511)
"""Vertices of NSD's subjects 1 to 8 in the released preparation."""

_BIT_MARK = "conv_centers.lin_query.weight"
_ENCODER_MARK = "map_att.0.project.weight"
_BACKBONE_MARK = "patch_embed.proj.weight"
_UNET_MARK = "input_blocks.0.0.weight"
_FIX = "fetch the authors' file again, or name its subjects with --subjects"


@dataclass(frozen=True)
class AuthorsSizes:
    """Sizes of the authors' networks; their seed is unknown and recorded as 0."""

    bit: BitSettings = field(default_factory=BitSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    backbone: DinoSize = field(default_factory=DinoSize)
    generator: SdxlSize = UNCLIP6


def all_subjects() -> dict[str, int]:
    """Return the voxels of NSD's eight subjects, in order, as the authors' files hold them."""
    return {f"subj{number:02d}": count for number, count in enumerate(N_VOXELS, start=1)}


def subjects_of_indices(indices: Sequence[int], first: int | None = None) -> tuple[str, ...]:
    """Return names of subjects by the authors' indices, which count from 0 or from 1.

    The releases disagree on the base. With `first` None an index 0 or 8 determines it; raises
    `PipelineError` where neither or both occur.
    """
    if first is None:
        has_zero, has_eight = 0 in indices, 8 in indices
        if has_zero == has_eight:
            fix = "give --first-subject 0 or 1"
            found, expected = f"{list(indices)}", "indices from 0 or from 1"
            raise PipelineError("--subjects", expected, found, fix, code="invalid-argument")
        first = 0 if has_zero else 1
    numbers = [index - first + 1 for index in indices]
    if not all(1 <= number <= 8 for number in numbers) or len(set(numbers)) != len(numbers):
        expected, fix = f"indices {first} to {first + 7}", "give each subject once"
        raise PipelineError("--subjects", expected, f"{indices}", fix, code="invalid-argument")
    return tuple(f"subj{number:02d}" for number in numbers)


def import_authors(
    folder: Path, out: Path, n_voxels: Mapping[str, int], sizes: AuthorsSizes | None = None
) -> list[Path]:
    """Import the authors' files that `folder` holds; return the files written below `out`.

    `n_voxels` are the voxels of the subjects in the checkpoints' order. Raises `PipelineError`
    where all files are missing, a BIT has no V2C map, or tensors do not fit.
    """
    sizes = sizes or AuthorsSizes()
    present = {name for name in ALL_FILES if (folder / name).is_file()}
    if not present:
        expected = f"one of {list(ALL_FILES)}"
        raise PipelineError(folder, expected, "none of them", _FIX, code="missing-file")
    for name in sorted(set(ALL_FILES) - present):
        logger.info("%s is not in %s: left out", name, folder)
    written = []
    if ENCODER_FILE in present:
        target = out / "encoder" / "encoder.safetensors"
        written.append(import_encoder(folder / ENCODER_FILE, target, n_voxels, sizes))
    if present - {ENCODER_FILE}:
        cluster = read_clusters(folder / CLUSTERS_FILE, n_voxels)
        written.append(
            _write_clusters(out / "clusters" / "clusters.safetensors", cluster, n_voxels)
        )
    for name, kind, out_folder in _BITS:
        if name in present:
            target = out / out_folder / "bit.safetensors"
            written.append(import_bit(folder / name, target, kind, cluster, n_voxels, sizes))
    if JOINT_FILE in present:
        target = out / "joint" / "generator.safetensors"
        written.append(import_unet(folder / JOINT_FILE, target, sizes))
    return written


ALL_FILES = (ENCODER_FILE, CLUSTERS_FILE, LOWLEVEL_FILE, SEMANTIC_FILE, JOINT_FILE)
_BITS = (
    (LOWLEVEL_FILE, "lowlevel", "bit_lowlevel"),
    (SEMANTIC_FILE, "semantic", "bit_semantic"),
    (JOINT_FILE, "semantic", "joint"),
)


def under_mark(path: Path, tensors: Mapping[str, Tensor], mark: str) -> dict[str, Tensor]:
    """Return the tensors of the one sub-network that has `mark`, without its prefix.

    Raises `PipelineError` where no or more than one prefix has it.
    """
    prefixes = [n.removesuffix(mark) for n in tensors if n == mark or n.endswith(f".{mark}")]
    if len(prefixes) != 1:
        found = f"{len(prefixes)} networks"
        raise PipelineError(path, f"one network with '{mark}'", found, _FIX, code="wrong-kind")
    prefix = prefixes[0]
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def import_encoder(
    path: Path, target: Path, n_voxels: Mapping[str, int], sizes: AuthorsSizes
) -> Path:
    """Write the authors' voxel encoder without its backbone; raises `PipelineError` for misfits."""
    tensors = under_mark(path, read_tensors(path), _ENCODER_MARK)
    inner = [n.removesuffix(_BACKBONE_MARK) for n in tensors if n.endswith(f".{_BACKBONE_MARK}")]
    trained = {n: t for n, t in tensors.items() if not n.startswith(tuple(inner))}
    with torch.device("meta"):
        encoder = VoxelEncoder(build_dinov2(sizes.backbone), sizes.encoder, n_voxels)
    state = {n: t.float() for n, t in encoder_names.from_released_names(trained).items()}
    del encoder.backbone
    load_state(path, encoder, state, assign=True, fix=_FIX)
    save_encoder(
        target,
        encoder,
        settings=sizes.encoder,
        backbone_name="dinov2_vitl14_reg",
        pool="all",
        seed=0,
    )
    return target


def read_clusters(path: Path, n_voxels: Mapping[str, int]) -> Tensor:
    """Return the authors' V2C map: the cluster of each voxel, subjects one after the other.

    Raises `PipelineError` where it is missing, pickled or of another number of voxels.
    """
    total = sum(n_voxels.values())
    expected = f"a cluster for each of {total} voxels"
    missing = f"fetch the V2C map {CLUSTERS_FILE} too, which BITs need"
    clusters = np.squeeze(open_npy(path, expected, _FIX, missing=missing))
    if (
        clusters.shape != (total,)
        or not np.array_equal(clusters, np.rint(clusters))
        or clusters.min() < 0
    ):
        shape = f"{clusters.dtype} of shape {clusters.shape}"
        raise PipelineError(path, expected, shape, _FIX, code="wrong-shape")
    return torch.from_numpy(clusters.astype(np.int64))


def _write_clusters(target: Path, cluster: Tensor, n_voxels: Mapping[str, int]) -> Path:
    attributes = {
        "subjects": list(n_voxels),
        "n_voxels": dict(n_voxels),
        "n_clusters": int(cluster.max()) + 1,
        "method": "gmm",
        "seed": 0,
    }
    write_artifact(target, "clusters", {"voxel_cluster": cluster.numpy()}, attributes)
    return target


def import_bit(
    path: Path,
    target: Path,
    kind: str,
    cluster: Tensor,
    n_voxels: Mapping[str, int],
    sizes: AuthorsSizes,
) -> Path:
    """Write one of the authors' BITs; raises `PipelineError` for names and shapes that misfit."""
    released = under_mark(path, read_tensors(path), _BIT_MARK)
    state = bit_names.from_released_names({n: t.float() for n, t in released.items()}, cluster)
    needed = ("tokenizer.cluster_embedding", "query_tokens", "head.weight")
    missing = [name for name in needed if name not in state]
    if missing:
        expected = f"a BIT with {list(needed)}"
        raise PipelineError(path, expected, f"no {missing}", _FIX, code="missing-data")
    model = BrainInteractionTransformer(
        voxel_cluster=cluster,
        n_clusters=len(state["tokenizer.cluster_embedding"]),
        n_queries=len(state["query_tokens"]),
        out_width=len(state["head.weight"]),
        width=sizes.bit.width,
        n_heads=sizes.bit.n_heads,
        n_blocks=sizes.bit.n_blocks,
    )
    load_state(path, model, state, fix=_FIX)
    save_bit(target, model, subjects=n_voxels, kind=kind, settings=sizes.bit, seed=0)
    return target


def import_unet(path: Path, target: Path, sizes: AuthorsSizes) -> Path:
    """Write the U-Net of the authors' combined model; raises `PipelineError` for misfits."""
    released = under_mark(path, read_tensors(path), _UNET_MARK)
    with torch.device("meta"):
        unet, _ = build_parts(sizes.generator)
    unet_state = unet.state_dict()
    named = {f"{UNET_PREFIX}{n}": t.float() for n, t in released.items()}
    load_state(
        path, unet, from_sgm(named, names_of_unet(unet_state), unet_state), assign=True, fix=_FIX
    )
    save_unet(target, unet, name="unclip6", seed=0)
    return target
