"""The trainings of BITs as the steps call them: read, train, write."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import read_artifact, write_table
from brainit.core.device import run_device
from brainit.core.settings import Settings
from brainit.data.fmri import load_pool
from brainit.models.brain_mlp import BrainMlp, save_mlp
from brainit.models.brain_transformer import load_bit, require_same_settings, save_bit
from brainit.models.generator_file import load_generator, save_generator
from brainit.training.bit_inputs import (
    TARGET_ROLES,
    TrainingFiles,
    new_bit,
    new_subject_source,
    pool_source,
    stage1_settings,
    targets_of,
)
from brainit.training.joint import JointTask, train_joint
from brainit.training.parallel import is_first
from brainit.training.resume import Work, resumable
from brainit.training.stage1 import Stage1Task, fit_calibration, train_stage1
from brainit.training.transfer import adapt_bit, adapt_joint, copy_shared, new_subject_bit


@dataclass(frozen=True)
class PoolData:
    """Betas and trial tables of a pool's subjects, and how much of each is used."""

    betas: Mapping[str, Path]
    trials: Mapping[str, Path]
    duration: str


@dataclass(frozen=True)
class BitOutput:
    """Where a trained BIT, its history and (stage 2) its generator go."""

    bit: Path
    history: Path
    generator: Path | None = None


def run_stage1(
    kind: str,
    data: PoolData,
    clusters_path: Path,
    files: TrainingFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a BIT of this kind, or T5's MLP, on a pool; `work` None keeps no checkpoints."""
    device = run_device(settings)
    pool = load_pool(data.betas, data.trials, settings.nsd, data.duration, settings.run.seed)
    targets = targets_of(kind, files, settings, device)
    clusters = read_artifact(clusters_path, "clusters")
    model = new_bit(clusters, clusters_path, pool, targets, settings, kind).to(device)
    stage1, seed = stage1_settings(settings, kind), settings.run.seed
    train, validation = pool_source(pool, files, stage1)
    task = Stage1Task(model, train, validation, targets, stage1, seed, device)
    inputs = {**vars(data), **files.inputs(TARGET_ROLES[kind], settings), "clusters": clusters_path}
    with resumable(work, settings, {**inputs, "kind": kind}) as checkpoints:
        history = train_stage1(task, f"{kind} BIT", checkpoints)
        is_fitted = kind == "lowlevel" and settings.bit_lowlevel.calibration == "affine"
        calibration = fit_calibration(task) if is_fitted else None
        if isinstance(model, BrainMlp):
            save_mlp(out.bit, model, pool.n_voxels, seed, calibration)
        else:
            save_bit(
                out.bit,
                model,
                subjects=pool.n_voxels,
                kind=kind,
                settings=settings.bit,
                seed=seed,
                calibration=calibration,
            )
        write_table(out.history, history)


def run_joint(
    data: PoolData,
    base_bit: Path,
    files: TrainingFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train semantic BIT and generator of a pool together; `work` None keeps no checkpoints.

    Of several processes the first writes.
    """
    device, seed = run_device(settings), settings.run.seed
    pool = load_pool(data.betas, data.trials, settings.nsd, data.duration, settings.run.seed)
    loaded = load_bit(base_bit)
    require_same_settings(base_bit, loaded.attributes, settings.bit, "semantic")
    generator = load_generator(settings.features.generator, None, files.weights).to(device)
    train, validation = pool_source(pool, files, settings.bit_semantic)
    task = JointTask(
        loaded.model.to(device),
        generator,
        train,
        validation,
        files.images(),
        settings.bit_semantic,
        settings.joint,
        seed,
        device,
    )
    inputs = {**vars(data), **files.inputs("generator", settings), "base_bit": base_bit}
    with resumable(work, settings, inputs) as checkpoints:
        history = train_joint(task, checkpoints)
        if not is_first():
            return
        save_bit(
            out.bit,
            loaded.model,
            subjects=pool.n_voxels,
            kind="semantic",
            settings=settings.bit,
            seed=seed,
        )
        assert out.generator is not None
        save_generator(out.generator, generator, name=settings.features.generator, seed=seed)
        write_table(out.history, history)


@dataclass(frozen=True)
class NewSubject:
    """A new subject's data, and how much of it is used."""

    subject: str
    betas: Path
    trials: Path
    duration: str


def run_adapt_bit(
    kind: str,
    new: NewSubject,
    clusters_path: Path,
    base_bit: Path,
    files: TrainingFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a new subject's voxel embeddings in stage 1; `work` None keeps no checkpoints."""
    device, seed = run_device(settings), settings.run.seed
    base = load_bit(base_bit)
    require_same_settings(base_bit, base.attributes, settings.bit, kind)
    source, fmri = new_subject_source(
        new.subject, new.betas, new.trials, new.duration, files, settings
    )
    clusters = read_artifact(clusters_path, "clusters")
    model = new_subject_bit(base.model, clusters, clusters_path).to(device)
    targets = targets_of(kind, files, settings, device)
    stage1 = stage1_settings(settings, kind)
    task = Stage1Task(model, source, None, targets, stage1, seed, device)
    inputs = {**vars(new), **files.inputs(TARGET_ROLES[kind], settings), "clusters": clusters_path}
    with resumable(work, settings, {**inputs, "kind": kind, "base_bit": base_bit}) as checkpoints:
        history = adapt_bit(task, settings.transfer, stage1, checkpoints)
        counts = {new.subject: fmri.n_voxels}
        save_bit(
            out.bit,
            model,
            subjects=counts,
            kind=kind,
            settings=settings.bit,
            seed=seed,
            calibration=base.calibration,
        )
        write_table(out.history, history)


def run_adapt_joint(
    new: NewSubject,
    adapted_bit: Path,
    joint_bit: Path,
    joint_generator: Path,
    files: TrainingFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a new subject's voxel embeddings in stage 2; all else is the pool's.

    `work` None keeps no checkpoints.
    """
    device, seed = run_device(settings), settings.run.seed
    adapted, base = load_bit(adapted_bit), load_bit(joint_bit)
    require_same_settings(adapted_bit, adapted.attributes, settings.bit, "semantic")
    copy_shared(base.model, adapted.model)
    generator = load_generator(settings.features.generator, joint_generator, files.weights)
    source, fmri = new_subject_source(
        new.subject, new.betas, new.trials, new.duration, files, settings
    )
    task = JointTask(
        adapted.model.to(device),
        generator.to(device),
        source,
        None,
        files.images(),
        settings.bit_semantic,
        settings.joint,
        seed,
        device,
    )
    bases = {"base_bit": adapted_bit, "joint_bit": joint_bit, "joint_generator": joint_generator}
    inputs = {**vars(new), **files.inputs("generator", settings), **bases}
    with resumable(work, settings, inputs) as checkpoints:
        history = adapt_joint(task, settings.transfer, checkpoints)
        counts = {new.subject: fmri.n_voxels}
        save_bit(
            out.bit,
            adapted.model,
            subjects=counts,
            kind="semantic",
            settings=settings.bit,
            seed=seed,
        )
        write_table(out.history, history)
