"""Trainings of the peers on made-up data, as short as they can be."""

from pathlib import Path

import numpy as np
import torch

from brainit.core.artifacts import Artifact, write_table
from brainit.core.settings import Settings, parse_sections
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.models.brain_decoder import DecoderSpec
from brainit.models.decoders import new_peer
from brainit.models.subject_voxels import subject_slices
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.loader import UNTHREADED, Loading
from brainit.training.peers.mindbridge import MindbridgeTask
from brainit.training.peers.mindeye2 import Mindeye2Task
from brainit.training.peers.task import PeerTask, train_peer
from brainit.training.resume import Checkpointer
from brainit.training.targets import SemanticTargets

N_VOXELS = {"subj01": 12, "subj02": 9}
N_IMAGES, N_TOKENS, WIDTH = 12, 3, 72
CPU = torch.device("cpu")


def settings(**sections: dict[str, object]) -> Settings:
    """Return the settings of small peers; `sections` change them."""
    small: dict[str, dict[str, object]] = {
        "mindeye2": {
            "width": 8,
            "prior_depth": 1,
            "prior_heads": 2,
            "prior_head_width": 4,
            "batch": 6,
            "epochs": 3,
            "lr": 0.01,
            "mixed_share": 1 / 3,
        },
        "lora_skip": {"rank": 2, "alpha": 2.0, "batch": 6, "epochs": 3, "lr": 0.01},
        "mindbridge": {
            "n_bins": 7,
            "width": 8,
            "n_blocks": 1,
            "bottleneck": 3,
            "batch": 6,
            "epochs": 3,
            "lr": 0.01,
        },
        "run": {"device": "cpu", "threads": 1},
        "features": {"semantic_tokens": "demo_openclip"},
    }
    merged = {k: {**small.get(k, {}), **sections.get(k, {})} for k in {*small, *sections}}
    return parse_sections(merged)


def spec(options: Settings, kind: str = "semantic", **counts: int) -> DecoderSpec:
    """Return the properties of a decoder of small tokens."""
    subjects = counts or N_VOXELS
    return DecoderSpec(kind, subjects, Artifact({}, {}), N_TOKENS, WIDTH, options)


def fmri(subject: str, n_images: int = 5, first: int = 0) -> SubjectFmri:
    """Return responses that tell the image, with noise."""
    rng = np.random.default_rng(int(subject[-1]))
    betas = rng.normal(size=(n_images, N_VOXELS[subject])).astype(np.float16)
    ids = np.arange(first, first + n_images)
    return SubjectFmri(subject, betas, ids, np.ones(n_images, dtype=np.int64))


def tokens(folder: Path) -> ShardedArray:
    """Return cached tokens of the images in `folder`, written once."""
    path = folder / "peer_tokens"
    if not path.is_dir():
        rows = np.random.default_rng(3).normal(size=(N_IMAGES, N_TOKENS, WIDTH))
        write_shards(path, iter([rows.astype(np.float16)]))
    return ShardedArray(path)


def task(
    peer: str,
    data: Path,
    options: Settings,
    loading: Loading = UNTHREADED,
    new_subject: int | None = None,
) -> PeerTask:
    """Return the training of a peer: 10 examples of two subjects in batches of 6."""
    decoder = new_peer(peer, spec(options))
    voxels = subject_slices(N_VOXELS)
    real = {subject: fmri(subject) for subject in N_VOXELS}
    held_out = {subject: fmri(subject, 3, 8) for subject in N_VOXELS}
    images = BatchImages(ImageStore(data / "stimuli"), None)
    parts = {
        "model": decoder.model,
        "train": ExampleSource(real, {}, voxels),
        "validation": ExampleSource(held_out, {}, voxels),
        "targets": SemanticTargets(images, None, {False: tokens(data)}),
        "name": peer,
        "seed": 0,
        "device": CPU,
        "loading": loading,
    }
    if peer == "mindbridge":
        own = options.mindbridge
        return MindbridgeTask(
            **parts, batch=own.batch, n_epochs=own.epochs, settings=own, new_subject=new_subject
        )
    base = options.mindeye2
    return Mindeye2Task(**parts, batch=base.batch, n_epochs=base.epochs, settings=base)


def _trained(
    peer: str, data: Path, checkpoints: Checkpointer, out: Path, loading: Loading, new: int | None
) -> None:
    own = task(peer, data, settings(), loading, new)
    write_table(out / "history.csv", train_peer(own, 0.01, 0.01, checkpoints))
    state = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    write = b"".join(tensor.numpy().tobytes() for tensor in state.values())
    (out / "weights.bin").write_bytes(write)


def mindeye2(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """3 epochs of 2 batches: the first mixed, with dropout and the prior's noise."""
    _trained("mindeye2", data, checkpoints, out, loading, None)


def mindbridge_of_new_subject(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """3 epochs of 2 batches of the new subject, each with another subject's examples."""
    _trained("mindbridge", data, checkpoints, out, loading, 0)
