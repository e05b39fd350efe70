"""A step of the encoder's training and of stage 2 on a GPU, at full size with random weights.

Stage 2 runs by `train_joint` on random data of eight subjects; it prints the peak memory beside the
count of `training_bytes`. `--configfile config/gpu_48gb.yaml` takes that file's settings. Without a
GPU it runs at tiny sizes, which shows that it runs and nothing else.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import yaml
from gpu_place import finish, first_line, peak_gb, random_backbone
from small_sdxl import SMALL_SDXL
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainit.core.seeds import seeded_init, use_threads
from brainit.core.settings import Settings, parse_sections
from brainit.core.shards import write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.dinov2 import DinoSize
from brainit.features.unclip import UNCLIP6, SdxlSize, build_parts, generator_of
from brainit.features.weights_file import freeze
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.encoder import encoder_loss
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.joint import JointTask, train_joint, trained_weights
from brainit.training.optimizers import training_bytes

N_STEPS, IMAGES_PER_SUBJECT = 5, 64


@dataclass(frozen=True)
class Sizes:
    """Sizes of everything; the defaults are the paper's."""

    settings: Settings
    dino: DinoSize = DinoSize()
    generator: SdxlSize = UNCLIP6
    n_voxels: int = 39548
    n_subjects: int = 8


def tiny(settings: Settings) -> Sizes:
    """Return sizes that a CPU runs in seconds."""
    small = {
        "bit": {"width": 16, "n_heads": 2, "n_blocks": 1},
        "bit_semantic": {"voxels_per_example": 20},
        "encoder": {"feature_width": 8, "voxel_width": 8, "voxels_per_example": 10, "batch": 2},
        "joint": {"batch": 2, "accumulation": 2},
        "clusters": {"n_clusters": 4},
    }
    sections = settings.model_dump(mode="json")
    for name, changes in small.items():
        sections[name] |= changes
    return Sizes(
        settings=parse_sections(sections),
        dino=DinoSize(width=16, n_blocks=2, n_heads=2, image_size=28, layers=(1, 2)),
        generator=replace(SMALL_SDXL, token_width=16, n_tokens=4),
        n_voxels=30,
        n_subjects=2,
    )


def encoder_line(sizes: Sizes, device: torch.device) -> str:
    """Time a step of the encoder's training in both precisions."""
    options, side = sizes.settings.encoder, sizes.dino.image_size
    n_voxels = {f"subj{n:02d}": sizes.n_voxels for n in range(1, sizes.n_subjects + 1)}
    with seeded_init(0, "encoder"):
        encoder = VoxelEncoder(random_backbone(sizes.dino, device), options, n_voxels).to(device)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options.lr, amsgrad=True, fused=True)
    images = torch.rand(options.batch, 3, side, side, device=device)
    shape = (options.batch, options.voxels_per_example)
    index = torch.randint(len(encoder.voxel_embedding), shape, device=device)
    measured = torch.randn(shape, device=device)
    parts = []
    for dtype in (torch.float32, torch.bfloat16):
        encoder.use_precision(dtype)
        peak_gb(device)
        seconds = []
        for _ in range(N_STEPS):
            started = finish(device)
            loss = encoder_loss(encoder(images, index), measured, options.loss)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            seconds.append(finish(device) - started)
        name = str(dtype).removeprefix("torch.")
        parts.append(f"{name} {median(seconds[1:]):.3f} s, peak {peak_gb(device):.1f} GB")
    return f"encoder, a step of {options.batch} images: {'; '.join(parts)}"


def joint_task(sizes: Sizes, folder: Path, device: torch.device) -> JointTask:
    """Return stage 2 on random data of `n_subjects` subjects."""
    settings, size = sizes.settings, sizes.generator
    draws = np.random.default_rng(0)
    shape = (IMAGES_PER_SUBJECT, size.image_size, size.image_size, 3)
    write_shards(folder / "stimuli", iter([draws.integers(256, size=shape, dtype=np.uint8)]))
    real, places = {}, {}
    for number in range(sizes.n_subjects):
        subject = f"subj{number + 1:02d}"
        betas = draws.standard_normal((IMAGES_PER_SUBJECT, sizes.n_voxels)).astype(np.float16)
        seen = np.arange(IMAGES_PER_SUBJECT)
        real[subject] = SubjectFmri(subject, betas, seen, np.ones(len(seen), np.int64))
        places[subject] = slice(number * sizes.n_voxels, (number + 1) * sizes.n_voxels)
    n_clusters = settings.clusters.n_clusters
    with torch.device(device):
        generator = generator_of(*build_parts(size), size)
    with seeded_init(0, "bit"):
        model = BrainInteractionTransformer(
            voxel_cluster=torch.arange(sizes.n_subjects * sizes.n_voxels) % n_clusters,
            n_clusters=n_clusters,
            n_queries=size.n_tokens,
            out_width=size.token_width,
            width=settings.bit.width,
            n_heads=settings.bit.n_heads,
            n_blocks=settings.bit.n_blocks,
        )
    freeze(generator)
    return JointTask(
        model.to(device),
        generator.to(device),
        ExampleSource(real, {}, places),
        None,
        BatchImages(ImageStore(folder / "stimuli"), None),
        settings.bit_semantic,
        settings.joint.model_copy(update={"max_steps": N_STEPS}),
        0,
        device,
        settings.recon.unconditional_tokens,
    )


def joint_line(sizes: Sizes, device: torch.device) -> str:
    """Time optimiser steps of stage 2; print measured and predicted memory."""
    peak_gb(device)
    with tempfile.TemporaryDirectory() as folder:
        task = joint_task(sizes, Path(folder), device)
        times = [finish(device)]
        hook = register_optimizer_step_post_hook(lambda *_: times.append(finish(device)))
        try:
            train_joint(task)
        finally:
            hook.remove()
    options = task.settings
    kept = [*task.model.parameters(), *task.generator.parameters()]
    trained = [*task.model.parameters(), *trained_weights(task.generator.unet, options)]
    counted = training_bytes(kept, trained, options.optimizer) / 1e9
    seconds = median(np.diff(times)[1:])
    n_examples = options.batch * options.accumulation
    return (
        f"stage 2, a step of {options.batch} x {options.accumulation} examples: {seconds:.2f} s, "
        f"{n_examples / seconds:.1f} examples/s; peak {peak_gb(device):.1f} GB, of which "
        f"{counted:.1f} were counted beforehand (activations come on top); {options.optimizer}, "
        f"U-Net weights: {options.unet_weights}, checkpointing: {options.gradient_checkpointing}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, help="overrides of the paper's settings")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on a GPU too")
    args = parser.parse_args(argv)
    settings = parse_sections(
        yaml.safe_load(args.configfile.read_text()) if args.configfile else {}
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_tiny = args.tiny or device.type == "cpu"
    use_threads(1)
    print(first_line(device, is_tiny))  # noqa: T201
    sizes = tiny(settings) if is_tiny else Sizes(settings)
    print(encoder_line(sizes, device))  # noqa: T201
    print(joint_line(sizes, device))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
