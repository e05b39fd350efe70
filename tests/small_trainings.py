"""Every training of the pipeline, on made-up data, as short as it can be."""

import copy
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from brainit.core.artifacts import write_table
from brainit.core.seeds import seeded_init
from brainit.core.settings import (
    JointSettings,
    LowlevelSettings,
    Settings,
    Stage1Settings,
    TransferSettings,
)
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import FmriPool, SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.generator import Generator, build_generator
from brainit.features.registry import load_backbone
from brainit.features.weights_file import freeze
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.encoder import adapt_encoder, train_encoder
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.joint import JointTask, adapt_joint, train_joint
from brainit.training.loader import UNTHREADED, Loading
from brainit.training.resume import Checkpointer
from brainit.training.stage1 import Stage1Task, train_stage1
from brainit.training.targets import LowlevelTargets
from tests.small_models import SHORT_TRAINING, SMALL_ENCODER, small_backbone, small_bit
from tests.small_peers import mindbridge_of_new_subject, mindeye2

CPU = torch.device("cpu")
N_VOXELS = {"subj01": 12, "subj02": 9}
N_IMAGES, N_EXTERNAL, SIDE = 12, 7, 64


class Training(Protocol):
    """Trains on the data in a folder, as a new process would, and writes its files to another."""

    def __call__(
        self, data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
    ) -> None: ...


def write_data(folder: Path) -> None:
    """Write stimuli, external images and both subjects' predicted fMRI of these."""
    rng = np.random.default_rng(0)
    for name, n in (("stimuli", N_IMAGES), ("external", N_EXTERNAL)):
        pixels = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
        write_shards(folder / name, iter([pixels]))
    for subject, n in N_VOXELS.items():
        rows = rng.normal(size=(N_EXTERNAL, n)).astype(np.float16)
        write_shards(folder / subject, iter([rows]))


def fmri(subject: str, n_images: int) -> SubjectFmri:
    rng = np.random.default_rng(int(subject[-1]))
    betas = rng.normal(size=(n_images, N_VOXELS[subject])).astype(np.float16)
    return SubjectFmri(subject, betas, np.arange(n_images), np.ones(n_images, dtype=np.int64))


def source(data: Path) -> ExampleSource:
    real = {subject: fmri(subject, 5) for subject in N_VOXELS}
    predicted = {subject: ShardedArray(data / subject) for subject in N_VOXELS}
    return ExampleSource(real, predicted, {"subj01": slice(0, 12), "subj02": slice(12, 21)})


def images(data: Path) -> BatchImages:
    return BatchImages(ImageStore(data / "stimuli"), ImageStore(data / "external"))


def bit(n_queries: int, out_width: int) -> BrainInteractionTransformer:
    with seeded_init(1, "bit"):
        return small_bit(torch.arange(21) % 4, 4, n_queries=n_queries, out_width=out_width)


def save(path: Path, *modules: nn.Module) -> None:
    tensors = {f"{k}.{n}": t for k, m in enumerate(modules) for n, t in m.state_dict().items()}
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)


def stage1(data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED) -> None:
    """Low-level BIT: 5 epochs of 3 batches, the rate falling, the best epoch not the last."""
    targets = LowlevelTargets(images(data), load_backbone("vgg", "demo_vgg_bn"))
    settings = LowlevelSettings(
        batch=6,
        epochs=5,
        lr=0.1,
        warmup_epochs=0.6,
        warmup_ramp="per_step",
        voxels_per_example=6,
        queries_per_layer=(3, 3, 2, 2, 1),
        plateau_patience=1,
        plateau_threshold=9.0,
    )
    model = bit(targets.layout.n_tokens, targets.layout.width)
    own = source(data)
    task = Stage1Task(
        model, own, ExampleSource(own.real, {}, own.voxels), targets, settings, 0, CPU
    )
    task.loading = loading
    write_table(out / "history.csv", train_stage1(task, "stage 1", checkpoints))
    save(out / "bit.safetensors", model)


TINY_GENERATOR = {
    "image_size": 16,
    "n_tokens": 4,
    "token_width": 8,
    "n_frequencies": 0,
    "patch": 4,
    "vae": {
        "in_channels": 48,
        "out_channels": 48,
        "block_out_channels": [8],
        "latent_channels": 2,
        "norm_num_groups": 2,
        "mid_block_add_attention": False,
    },
    "unet": {
        "sample_size": 4,
        "in_channels": 2,
        "out_channels": 2,
        "block_out_channels": [8],
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D"],
        "mid_block_type": None,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
    },
}


@cache
def tiny_generator() -> Generator:
    with seeded_init(1, "generator"):
        generator = freeze(build_generator(TINY_GENERATOR))
    assert isinstance(generator, Generator)
    return generator


def joint_task(data: Path, steps: int | None, batch: int = 3, accumulation: int = 4) -> JointTask:
    """Return stage 2 of 17 examples an epoch."""
    generator = copy.deepcopy(tiny_generator())
    model = bit(generator.n_tokens, generator.token_width)
    own = source(data)
    options = JointSettings(
        batch=batch,
        accumulation=accumulation,
        epochs=12,
        max_steps=steps,
        warmup_steps=3,
        gradient_checkpointing=False,
    )
    few = ExampleSource({"subj02": fmri("subj02", 3)}, {}, own.voxels)
    stage1_options = Stage1Settings(voxels_per_example=6)
    parts = (stage1_options, options, 0, CPU, "drawn")
    return JointTask(model, generator, own, few, images(data), *parts)


def joint_by_adafactor(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """Stage 2 as small GPUs run it."""
    task = joint_task(data, 5, batch=6, accumulation=2)
    small = {
        "optimizer": "adafactor",
        "unet_weights": "cross_attention",
        "gradient_checkpointing": True,
    }
    task.settings = task.settings.model_copy(update=small)
    task.loading = loading
    write_table(out / "history.csv", train_joint(task, checkpoints))
    save(out / "joint.safetensors", task.model, task.generator.unet)


def joint(
    data: Path,
    checkpoints: Checkpointer,
    out: Path,
    loading: Loading = UNTHREADED,
    moments_on: str = "device",
) -> None:
    """Stage 2: epochs of 3 batches accumulated by 2; the gradients of the last one stay."""
    task = joint_task(data, 5, batch=6, accumulation=2)
    task.loading = loading
    write_table(out / "history.csv", train_joint(task, checkpoints, moments_on))
    save(out / "joint.safetensors", task.model, task.generator.unet)


def joint_of_new_subject(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """Stage 2 of voxel embeddings alone: 2 steps an epoch; 5 steps end within the third."""
    task = joint_task(data, None)
    own = task.train
    task.train = ExampleSource(own.real, {}, own.voxels)
    task.settings = task.settings.model_copy(update={"accumulation": 2})
    transfer = TransferSettings(joint_epochs=5, joint_max_steps=5)
    task.loading = loading
    write_table(out / "history.csv", adapt_joint(task, transfer, checkpoints))
    save(out / "bit.safetensors", task.model)


_CHANGES = {"dropout": 0.25, "epochs": 6, "transfer_epochs": 6, "max_shift_px": 1}
_PLATEAU = {"plateau_patience": 1, "plateau_threshold": 0.1}
ENCODER = SMALL_ENCODER.model_copy(update={**SHORT_TRAINING, **_CHANGES, **_PLATEAU})


def encoder(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """6 epochs of 3 batches with dropout (torch's global generator) and shifted images."""
    pool = FmriPool(tuple(N_VOXELS), *[{s: fmri(s, n) for s in N_VOXELS} for n in (12, 6)])
    store, settings = ImageStore(data / "stimuli"), Settings(encoder=ENCODER)
    parts = (pool, store, small_backbone(), settings, CPU, checkpoints, loading)
    trained, history = train_encoder(*parts)
    write_table(out / "history.csv", history)
    save(out / "encoder.safetensors", trained)


def encoder_of_new_subject(
    data: Path, checkpoints: Checkpointer, out: Path, loading: Loading = UNTHREADED
) -> None:
    """6 epochs of 2 batches, voxel vectors alone, no validation."""
    with seeded_init(1, "base"):
        base = VoxelEncoder(small_backbone(), ENCODER, {"subj01": 12})
    store, settings = ImageStore(data / "stimuli"), Settings(encoder=ENCODER)
    parts = (base, fmri("subj02", 12), store, settings, CPU, checkpoints, loading)
    trained, history = adapt_encoder(*parts)
    write_table(out / "history.csv", history)
    save(out / "encoder.safetensors", trained)


TRAININGS: dict[str, tuple[Training, int]] = {
    "stage1": (stage1, 15),
    "joint": (joint, 5),
    "joint_with_host_states": (partial(joint, moments_on="host"), 5),
    "joint_by_adafactor": (joint_by_adafactor, 5),
    "joint_of_new_subject": (joint_of_new_subject, 5),
    "encoder": (encoder, 18),
    "encoder_of_new_subject": (encoder_of_new_subject, 12),
    "mindeye2": (mindeye2, 6),
    "mindbridge_of_new_subject": (mindbridge_of_new_subject, 6),
}
