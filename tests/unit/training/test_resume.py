"""A training interrupted at random steps ends with the bytes of one that never was."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainit.core.artifacts import write_table
from brainit.core.checkpoints import CheckpointFolder
from brainit.core.interruption import Interrupted
from brainit.core.seeds import seeded_init
from brainit.core.settings import (
    EncoderSettings,
    JointSettings,
    Settings,
    Stage1Settings,
    TransferSettings,
    parse_sections,
)
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import FmriPool, SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.generator import Generator, build_generator
from brainit.features.registry import load_backbone
from brainit.features.weights_file import freeze
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.encoder import adapt_encoder, train_encoder
from brainit.training.examples import ExampleSource
from brainit.training.joint import JointTask, train_joint
from brainit.training.resume import Checkpointer, Work, digest_of, resumable
from brainit.training.schedule import Plateau
from brainit.training.stage1 import Stage1Task, train_stage1
from brainit.training.states import LoopState
from brainit.training.targets import BatchImages, LowlevelTargets
from brainit.training.transfer import adapt_joint

CPU = torch.device("cpu")
N_VOXELS = {"subj01": 12, "subj02": 9}
N_IMAGES, N_EXTERNAL, SIDE = 12, 7, 64

Training = Callable[[Path, Checkpointer, Path], None]
"""Trains on the data in a folder, as a new process would, and writes its files to another."""


class Killed(Exception):
    """Stands for the end of a process without warning."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, n in (("stimuli", N_IMAGES), ("external", N_EXTERNAL)):
        pixels = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
        write_shards(folder / name, iter([pixels]))
    for subject, n in N_VOXELS.items():
        rows = rng.normal(size=(N_EXTERNAL, n)).astype(np.float16)
        write_shards(folder / subject, iter([rows]))
    return folder


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
        return BrainInteractionTransformer(
            voxel_cluster=torch.arange(21) % 4,
            n_clusters=4,
            n_queries=n_queries,
            out_width=out_width,
            width=16,
            n_heads=2,
            n_blocks=1,
        )


def save(path: Path, *modules: nn.Module) -> None:
    tensors = {f"{k}.{n}": t for k, m in enumerate(modules) for n, t in m.state_dict().items()}
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)


def stage1(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """Low-level BIT: 5 epochs of 5 batches, the rate falling, the best epoch not the last."""
    targets = LowlevelTargets(images(data), load_backbone("vgg", "demo_vgg_bn"))
    settings = Stage1Settings(
        batch=4,
        epochs=5,
        lr=3e-2,
        warmup_epochs=0.6,
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
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "mid_block_type": None,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
    },
}


def joint_task(data: Path, steps: int | None) -> JointTask:
    with seeded_init(1, "generator"):
        generator = freeze(build_generator(TINY_GENERATOR))
    assert isinstance(generator, Generator)
    model = bit(generator.n_tokens, generator.token_width)
    own = source(data)
    options = JointSettings(batch=3, accumulation=4, epochs=12, max_steps=steps, warmup_steps=3)
    few = ExampleSource({"subj02": fmri("subj02", 3)}, {}, own.voxels)
    stage1_options = Stage1Settings(voxels_per_example=6)
    return JointTask(model, generator, own, few, images(data), stage1_options, options, 0, CPU)


def joint_by_adafactor(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """Stage 2 as small GPUs run it."""
    task = joint_task(data, 5)
    small = {"optimizer": "adafactor", "unet_weights": "cross_attention"}
    task.settings = task.settings.model_copy(update=small)
    write_table(out / "history.csv", train_joint(task, checkpoints))
    save(out / "joint.safetensors", task.model, task.generator.unet)


def joint(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """Stage 2: epochs of 6 batches accumulated by 4; the gradients of the last two stay."""
    task = joint_task(data, 11)
    write_table(out / "history.csv", train_joint(task, checkpoints))
    save(out / "joint.safetensors", task.model, task.generator.unet)


def joint_of_new_subject(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """Stage 2 of voxel embeddings alone: 2 steps an epoch; 11 steps end within the sixth."""
    task = joint_task(data, None)
    own = task.train
    task.train = ExampleSource(own.real, {}, own.voxels)
    task.settings = task.settings.model_copy(update={"accumulation": 2})
    transfer = TransferSettings(joint_epochs=11, joint_max_steps=11)
    write_table(out / "history.csv", adapt_joint(task, transfer, checkpoints))
    save(out / "bit.safetensors", task.model)


ENCODER = EncoderSettings(
    feature_width=6,
    voxel_width=8,
    adapter_rank=2,
    dropout=0.25,
    voxels_per_example=7,
    batch=8,
    epochs=6,
    lr=3e-2,
    max_shift_px=1,
    plateau_patience=1,
    plateau_threshold=0.1,
    transfer_epochs=6,
)


def backbone() -> nn.Module:
    with seeded_init(1, "backbone"):
        network = EncoderBackbone(
            image_size=8, patch=4, width=12, n_blocks=2, n_heads=2, n_registers=1, layers=(1, 2)
        )
    return freeze(network)


def encoder(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """6 epochs of 3 batches with dropout (torch's global generator) and shifted images."""
    pool = FmriPool(tuple(N_VOXELS), *[{s: fmri(s, n) for s in N_VOXELS} for n in (12, 6)])
    store, settings = ImageStore(data / "stimuli"), Settings(encoder=ENCODER)
    trained, history = train_encoder(pool, store, backbone(), settings, CPU, checkpoints)
    write_table(out / "history.csv", history)
    save(out / "encoder.safetensors", trained)


def encoder_of_new_subject(data: Path, checkpoints: Checkpointer, out: Path) -> None:
    """6 epochs of 2 batches, voxel vectors alone, no validation."""
    with seeded_init(1, "base"):
        base = VoxelEncoder(backbone(), ENCODER, {"subj01": 12})
    store, settings = ImageStore(data / "stimuli"), Settings(encoder=ENCODER)
    trained, history = adapt_encoder(base, fmri("subj02", 12), store, settings, CPU, checkpoints)
    write_table(out / "history.csv", history)
    save(out / "encoder.safetensors", trained)


TRAININGS = {
    "stage1": (stage1, 25),
    "joint": (joint, 11),
    "joint_by_adafactor": (joint_by_adafactor, 5),
    "joint_of_new_subject": (joint_of_new_subject, 11),
    "encoder": (encoder, 18),
    "encoder_of_new_subject": (encoder_of_new_subject, 12),
}


@contextmanager
def counted_steps(at: dict[int, Callable[[], None]]) -> Iterator[list[int]]:
    """Count optimizer steps in the block, and call `at[k]()` in the k-th (from 1)."""
    counts = [0]

    def hook(*_: object) -> None:
        counts[0] += 1
        at.get(counts[0], lambda: None)()

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield counts
    finally:
        handle.remove()


def told_to_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def killed() -> None:
    raise Killed


def until_done(
    training: Training, data: Path, work: Path, out: Path, steps: int | None
) -> Iterator[None]:
    """Train again and again, as a cluster does, until the training ends; yield at each end."""
    out.mkdir()
    while True:
        checkpoints = Checkpointer(CheckpointFolder(work, "digest"), minutes=60.0, steps=steps)
        try:
            training(data, checkpoints, out)
            return
        except (Interrupted, Killed):
            yield


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def uninterrupted(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """Return the files of each training without interruptions and without checkpoints."""
    found = {}
    for name, (training, n_steps) in TRAININGS.items():
        out = tmp_path_factory.mktemp(name)
        with counted_steps({}) as counts:
            training(data, Checkpointer(), out)
        assert counts[0] == n_steps
        found[name] = contents(out)
    return found


@pytest.mark.parametrize("name", TRAININGS)
def test_signals_at_random_steps_leave_the_bytes(
    name: str, data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    training, n_steps = TRAININGS[name]
    n_signals = min(10, n_steps - 1)
    rng = np.random.default_rng(len(name))
    chosen = {int(k): told_to_stop for k in rng.permutation(n_steps)[:n_signals] + 1}
    with counted_steps(chosen) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", None))
    assert len(ends) == n_signals
    assert counts[0] == n_steps, "no step is done twice"
    assert contents(tmp_path / "out") == uninterrupted[name]


@pytest.mark.parametrize("name", TRAININGS)
def test_kills_at_random_steps_leave_the_bytes(
    name: str, data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    training, n_steps = TRAININGS[name]
    rng = np.random.default_rng(len(name))
    chosen = {int(k): killed for k in rng.permutation(n_steps)[:3] + 1}
    with counted_steps(chosen) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", 2))
    assert len(ends) == 3
    assert n_steps < counts[0] <= n_steps + 2 * 3, "at most the steps since a checkpoint"
    assert contents(tmp_path / "out") == uninterrupted[name]


def test_jobs_of_at_most_max_hours_leave_the_bytes(
    data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Each job's hours are over at once: it finishes its step, or epoch, and ends."""
    training, n_steps = TRAININGS["joint_by_adafactor"]
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    said, done = [], [0]
    with counted_steps({}) as counts:
        while len(said) < 40:
            folder = CheckpointFolder(work, "digest")
            try:
                training(data, Checkpointer(folder, minutes=60.0, max_hours=1e-9), out)
                break
            except Interrupted as interruption:
                said.append(str(interruption))
                done.append(counts[0])
    assert counts[0] == n_steps == done[-1], "no step is done twice"
    assert set(np.diff(done)) == {0, 1}
    assert set(said) == {
        "interrupted by run.max_hours after a whole optimizer step, its checkpoint is written,"
        " the same command continues"
    }
    assert contents(out) == uninterrupted["joint_by_adafactor"]


def test_hours_come_from_the_work_and_none_is_no_bound(tmp_path: Path) -> None:
    content = LoopState([], torch.optim.AdamW([nn.Parameter(torch.zeros(1))]), Plateau(0, 0.0))
    for hours in (0.0, 1.0):
        with resumable(Work(tmp_path, "code", max_hours=hours), Settings(), {}) as checkpoints:
            checkpoints.after_step(lambda: content.checkpoint(None))
    work = Work(tmp_path, "code", max_hours=1e-9)
    with pytest.raises(Interrupted), resumable(work, Settings(), {}) as checkpoints:
        checkpoints.after_step(lambda: content.checkpoint(None))


def test_a_torn_checkpoint_costs_the_steps_since_the_one_before(
    data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with counted_steps({8: told_to_stop}) as counts:
        ends = until_done(encoder, data, work, tmp_path / "out", 5)
        next(ends)
        newest = max(work.glob("*.safetensors"))
        newest.write_bytes(newest.read_bytes()[:-100])
        assert list(ends) == []
    assert counts[0] == 18 + 3, "continued after step 5, not 8"
    assert contents(tmp_path / "out") == uninterrupted["encoder"]


@pytest.mark.parametrize(("name", "task"), [("stage1", Stage1Task), ("joint", JointTask)])
def test_a_signal_during_validation_is_heeded_after_it(
    name: str,
    task: type[Stage1Task] | type[JointTask],
    data: Path,
    uninterrupted: dict[str, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, n_steps = TRAININGS[name]
    validate, calls = task.validate, []

    def interrupted(self: Stage1Task | JointTask) -> float | None:
        calls.append(1)
        if len(calls) in (2, 5):
            told_to_stop()
        return validate(self)

    monkeypatch.setattr(task, "validate", interrupted)
    with counted_steps({}) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", None))
    assert len(ends) == 2 and counts[0] == n_steps
    history = uninterrupted[name]["history.csv"].decode().splitlines()
    assert len(calls) == len(history) - 1, "no epoch is validated twice"
    assert contents(tmp_path / "out") == uninterrupted[name]


def test_checkpoints_go_once_the_outputs_are_written(tmp_path: Path) -> None:
    work = Work(tmp_path / "work", "code")
    folder = CheckpointFolder(work.folder, digest_of(Settings(), "code", {}))
    content = LoopState([], torch.optim.AdamW([nn.Parameter(torch.zeros(1))]), Plateau(0, 0.0))
    folder.write(content.checkpoint(None))
    with pytest.raises(Killed), resumable(work, Settings(), {}) as checkpoints:
        with checkpoints.watching() as found:
            assert found is not None
        raise Killed
    assert work.folder.exists()
    with resumable(work, Settings(), {}):
        pass
    assert not work.folder.exists()


def test_digest_is_of_all_that_determines_the_result(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("betas.npy", "folder/shard_0.npy", "folder/.snakemake_timestamp"):
        (tmp_path / name).write_bytes(b"abc")
    inputs = {
        "betas": {"subj01": tmp_path / "betas.npy"},
        "stimuli": tmp_path / "folder",
        "duration": "1h",
        "external": None,
        "weights": tmp_path / "absent",
    }
    first = digest_of(Settings(), "code", inputs)
    for cut in ({"checkpoint_minutes": 1}, {"max_hours": 2}):
        assert digest_of(parse_sections({"run": cut}), "code", inputs) == first
    os.utime(tmp_path / "folder/.snakemake_timestamp", (1, 1))
    assert digest_of(Settings(), "code", inputs) == first
    others = {
        digest_of(parse_sections({"encoder": {"epochs": 3}}), "code", inputs),
        digest_of(Settings(), "other", inputs),
        digest_of(Settings(), "code", {**inputs, "duration": "30min"}),
    }
    for changed in ("betas.npy", "folder/shard_0.npy", "absent"):
        (tmp_path / changed).write_bytes(b"abcd")
        others.add(digest_of(Settings(), "code", inputs))
    assert len(others | {first}) == 7


def test_without_a_work_folder_nothing_is_written() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with resumable(None, Settings(), {}) as checkpoints, checkpoints.watching() as found:
        assert found is None and signal.getsignal(signal.SIGTERM) is before
        checkpoints.after_step(lambda: pytest.fail("asked for a checkpoint"))
