"""The authors' checkpoints, as stand-ins with the golden files' names, give the golden values."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.benchmarks.small_sdxl import SMALL_SDXL as UNET
from tests.refusals import refused
from torch import Tensor, nn

from brainit.commands.program import run
from brainit.core.artifacts import read_artifact
from brainit.core.settings import BitSettings, EncoderSettings
from brainit.features.dinov2 import DinoSize
from brainit.features.sgm_names import names_of_unet, to_sgm
from brainit.features.unclip import build_parts
from brainit.models.authors.convert import (
    CLUSTERS_FILE,
    ENCODER_FILE,
    JOINT_FILE,
    LOWLEVEL_FILE,
    N_VOXELS,
    SEMANTIC_FILE,
    AuthorsSizes,
    import_authors,
    subjects_of_indices,
)
from brainit.models.brain_transformer import load_bit
from brainit.models.voxel_encoder import encoder_from_artifact

BIT_VOXELS = {"subj01": 140, "subj02": 160}


class StandIn(nn.Module):
    """A module tree with parameters of any qualified names, to be pickled as an object."""

    def add(self, name: str, value: Tensor) -> None:
        head, _, rest = name.partition(".")
        if not rest:
            self.register_parameter(head, nn.Parameter(value, requires_grad=False))
            return
        if head not in self._modules:
            self.add_module(head, StandIn())
        self.get_submodule(head).add(rest, value)


def stand_in(weights: dict[str, Tensor], prefix: str = "") -> StandIn:
    tree = StandIn()
    for name, value in weights.items():
        tree.add(prefix + name, value)
    return tree


def golden_file(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Tensor]]:
    with np.load(path) as file:
        golden = dict(file)
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(value)
        for name, value in golden.items()
        if name.startswith("weights/")
    }
    return golden, weights


@pytest.fixture
def sizes(golden_dir: Path) -> AuthorsSizes:
    golden, _ = golden_file(golden_dir / "encoder_small.npz")
    rank, alpha = int(golden["rank"]), float(golden["alpha"])
    return AuthorsSizes(
        bit=BitSettings(width=32, n_heads=4, n_blocks=2),
        encoder=EncoderSettings(
            feature_width=16, voxel_width=24, adapter_rank=rank, adapter_alpha=alpha
        ),
        backbone=DinoSize(width=20, n_blocks=4, n_heads=2, image_size=42, layers=(1, 2, 4)),
        generator=UNET,
    )


@pytest.fixture
def folder(tmp_path: Path, golden_dir: Path) -> Path:
    """All five files: a bare state, whole modules, one in a wrapper, a Lightning checkpoint."""
    golden, bit = golden_file(golden_dir / "bit_small.npz")
    theirs = tmp_path / "authors"
    theirs.mkdir()
    np.save(theirs / CLUSTERS_FILE, golden["voxel_cluster"].astype(np.float64))
    torch.save(stand_in(bit), theirs / LOWLEVEL_FILE)
    torch.save(stand_in(bit, "module."), theirs / SEMANTIC_FILE)
    torch.manual_seed(0)
    unet, _ = build_parts(UNET)
    own = unet.state_dict()
    joint = to_sgm(own, names_of_unet(own))
    joint |= {f"brain_model.{name}": value for name, value in bit.items()}
    torch.save({"state_dict": joint, "epoch": 9}, theirs / JOINT_FILE)
    _, encoder = golden_file(golden_dir / "encoder_small.npz")
    backbone = {"dino.patch_embed.proj.weight": torch.ones(2), "dino.norm.bias": torch.ones(3)}
    encoder |= backbone
    torch.save(stand_in(encoder), theirs / ENCODER_FILE)
    return theirs


@pytest.mark.parametrize("place", ["bit_lowlevel", "bit_semantic", "joint"])
def test_bits_give_the_golden_predictions(
    folder: Path, tmp_path: Path, sizes: AuthorsSizes, golden_dir: Path, place: str
) -> None:
    (folder / ENCODER_FILE).unlink()
    written = import_authors(folder, tmp_path / "ours", BIT_VOXELS, sizes)
    assert len(written) == 5
    golden, _ = golden_file(golden_dir / "bit_small.npz")
    bit = load_bit(tmp_path / "ours" / place / "bit.safetensors")
    assert bit.kind == ("lowlevel" if place == "bit_lowlevel" else "semantic")
    for number, subject in enumerate(BIT_VOXELS):
        betas = torch.from_numpy(golden[f"subject{number}.betas"])
        expected = golden[f"subject{number}.prediction"]
        with torch.no_grad():
            found = bit.model.eval()(betas, bit.subjects[subject]).numpy()
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    clusters = read_artifact(tmp_path / "ours" / "clusters" / "clusters.safetensors", "clusters")
    assert np.array_equal(clusters["voxel_cluster"], golden["voxel_cluster"])


class TokensGiven(nn.Module):
    """A backbone whose blocks change nothing, as the golden values were made with."""

    width, layers, n_tokens, n_registers = 20, (1, 2, 4), 10, 4

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(4))

    def embed(self, _images: Tensor) -> Tensor:
        return self.tokens


def test_the_encoder_gives_the_golden_predictions(
    folder: Path, tmp_path: Path, sizes: AuthorsSizes, golden_dir: Path
) -> None:
    for path in folder.iterdir():
        if path.name != ENCODER_FILE:
            path.unlink()
    (path,) = import_authors(folder, tmp_path / "ours", {"subj03": 60}, sizes)
    golden, _ = golden_file(golden_dir / "encoder_small.npz")
    artifact = read_artifact(path, "encoder")
    assert artifact.attributes["backbone"] == "dinov2_vitl14_reg"
    backbone = TokensGiven(torch.from_numpy(golden["tokens_before_blocks"]))
    encoder = encoder_from_artifact(path, artifact, backbone)
    with torch.no_grad():
        found = encoder(torch.zeros(2, 3, 4, 4), torch.from_numpy(golden["voxel_index"])).numpy()
    assert np.abs(found - golden["prediction"]).max() < 1e-4 * np.abs(golden["prediction"]).max()


def test_the_joint_models_u_net_is_kept_by_our_names(
    folder: Path, tmp_path: Path, sizes: AuthorsSizes
) -> None:
    (folder / ENCODER_FILE).unlink()
    import_authors(folder, tmp_path / "ours", BIT_VOXELS, sizes)
    artifact = read_artifact(tmp_path / "ours" / "joint" / "generator.safetensors", "generator")
    torch.manual_seed(0)
    unet, _ = build_parts(UNET)
    assert artifact.attributes["name"] == "unclip6"
    assert set(artifact.tensors) == set(unet.state_dict())
    for name, value in unet.state_dict().items():
        assert np.array_equal(artifact.tensors[name], value.numpy())


def test_subject_indices_of_both_bases() -> None:
    everyone = tuple(f"subj0{number}" for number in range(1, 9))
    assert subjects_of_indices(range(8)) == subjects_of_indices(range(1, 9)) == everyone
    assert subjects_of_indices([0, 1, 4, 6]) == ("subj01", "subj02", "subj05", "subj07")
    assert subjects_of_indices([1, 2, 5, 7], first=1) == ("subj01", "subj02", "subj05", "subj07")
    assert subjects_of_indices([1, 2], first=0) == ("subj02", "subj03")
    with refused("invalid-argument", "--first-subject"):
        subjects_of_indices([1, 2, 5, 7])
    with refused("invalid-argument", "1 to 8"):
        subjects_of_indices([0, 1], first=1)
    with refused("invalid-argument", "--subjects"):
        subjects_of_indices([0, 0])
    assert sum(N_VOXELS) == 315_997


def test_misfits_are_refused(folder: Path, tmp_path: Path, sizes: AuthorsSizes) -> None:
    ours = tmp_path / "ours"
    (folder / ENCODER_FILE).unlink()
    with refused("wrong-shape", "299 voxels", "float64"):
        import_authors(folder, ours, {"subj01": 139, "subj02": 160}, sizes)
    with refused("wrong-kind", "transformer.cross_blocks.2"):
        small = BitSettings(width=32, n_heads=4, n_blocks=1)
        import_authors(folder, ours, BIT_VOXELS, AuthorsSizes(bit=small, generator=UNET))
    torch.save({"a": stand_in({"other.weight": torch.ones(1)})}, folder / SEMANTIC_FILE)
    with refused("wrong-kind", "'conv_centers", "0 networks"):
        import_authors(folder, ours, BIT_VOXELS, sizes)
    np.save(folder / CLUSTERS_FILE, np.array([{"a": 1}], dtype=object))
    with refused("unsafe-file", "pickled objects"):
        import_authors(folder, ours, BIT_VOXELS, sizes)
    (folder / CLUSTERS_FILE).unlink()
    with refused("missing-file", "V2C map"):
        import_authors(folder, ours, BIT_VOXELS, sizes)
    with refused("missing-file", "none of them"):
        run(["import-authors", str(ours / "empty"), "--out", str(ours)])


@pytest.mark.weights
def test_the_authors_own_files(tmp_path: Path) -> None:
    folder = os.environ.get("BRAINIT_AUTHORS")
    if not folder:
        pytest.skip("the authors' files are not here (BRAINIT_AUTHORS names their folder)")
    n_voxels = {f"subj0{number}": count for number, count in enumerate(N_VOXELS, start=1)}
    written = import_authors(Path(folder), tmp_path, n_voxels)
    assert all(path.is_file() for path in written)
