"""Moments of voxel embeddings on the host: AdamW of the whole table, with less on the device."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.small_models import small_bit
from tests.small_trainings import TRAININGS, write_data

from brainit.core.checkpoints import CheckpointFolder
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import SemanticSettings, parse_sections
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.models.brain_mlp import BrainMlp
from brainit.models.brain_transformer import BrainInteractionTransformer, rows_of
from brainit.training.embedding_states import EmbeddingStates, embeddings_on_host
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.optimizers import make_optimizer
from brainit.training.resume import Checkpointer
from brainit.training.stage1 import Stage1Batch, Stage1Task, train_stage1
from brainit.training.targets import SemanticTargets

SUBJECTS = {"a": slice(0, 5), "b": slice(5, 12), "c": slice(12, 15), "d": slice(15, 23)}
WIDTH, DECAY = 16, 0.1
N_QUERIES, OUT = 3, 4


def drawn_steps(n_steps: int, accumulation: int) -> list[tuple[float, list[tuple[str, ...]]]]:
    """Return the rate of each step, and the subjects of each of its batches; "d" comes late."""
    rng = np.random.default_rng(4)
    return [
        (
            float(rng.uniform(0.001, 0.1)),
            [
                tuple(sorted(rng.choice(list("abc" if k < 5 else "abcd"), 2, replace=False)))
                for _ in range(accumulation)
            ],
        )
        for k in range(n_steps)
    ]


def loss_of(rows: torch.Tensor, batch: int) -> torch.Tensor:
    """Return a loss whose gradients differ by row and batch."""
    weight = torch.linspace(-1, 2, rows.numel()).view_as(rows)
    return (torch.sin((batch + 1) * weight) * rows + rows.square()).sum()


@pytest.mark.parametrize("accumulation", [1, 3])
def test_steps_are_the_bytes_of_adamw_on_the_whole_table(accumulation: int) -> None:
    torch.manual_seed(0)
    whole, table = (torch.nn.Parameter(torch.randn(23, WIDTH)) for _ in range(2))
    with torch.no_grad():
        table.copy_(whole)
    optimizer = make_optimizer("adamw", [whole], 1.0, DECAY)
    states = EmbeddingStates(table, list(SUBJECTS.values()))
    options = make_optimizer("adamw", [table], 1.0, DECAY).param_groups[0]
    for lr, batches in drawn_steps(12, accumulation):
        options["lr"] = optimizer.param_groups[0]["lr"] = lr
        for number, names in enumerate(batches):
            voxels = [SUBJECTS[name] for name in names]
            assert torch.equal(states.rows(table, voxels), rows_of(whole, voxels)), "made up"
            loss_of(states.rows(table, voxels), number).backward()
            loss_of(rows_of(whole, voxels), number).backward()
        optimizer.step()
        optimizer.zero_grad()
        states.step(options)
    assert table.grad is None
    assert not torch.equal(table, whole), "some subject was absent from the last step"
    states.settle()
    assert torch.equal(table, whole)
    expected, found = optimizer.state[whole], states.tensors()
    assert torch.equal(found["exp_avg"], expected["exp_avg"])
    assert torch.equal(found["exp_avg_sq"], expected["exp_avg_sq"])
    assert states.n_steps == expected["step"] == 12 and set(found) == {"exp_avg", "exp_avg_sq"}


def test_an_absent_subject_decays_and_moves_as_adamw_says() -> None:
    """One number, by Loshchilov and Hutter's algorithm 2 in plain floats."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    rates, gradients = [0.1, 0.05, 0.02, 0.01], [0.7, 0.0, 0.0, -0.3]
    value, first, second = 0.4, 0.0, 0.0
    for k, (lr, gradient) in enumerate(zip(rates, gradients, strict=True), start=1):
        value *= 1 - lr * DECAY
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        value -= lr * first / (1 - beta1**k) / (math.sqrt(second / (1 - beta2**k)) + eps)
    table = torch.nn.Parameter(torch.full((2, WIDTH), 0.4))
    states = EmbeddingStates(table, [slice(0, 1), slice(1, 2)])
    group: dict[str, Any] = {"betas": (beta1, beta2), "eps": eps, "weight_decay": DECAY}
    for lr, gradient in zip(rates, gradients, strict=True):
        voxels = slice(0, 1) if gradient else slice(1, 2)
        (states.rows(table, [voxels]) * gradient).sum().backward()
        states.step({**group, "lr": lr})
    assert table[0, 0].item() == pytest.approx(value, rel=1e-6)


def test_the_device_holds_the_moments_of_the_subjects_of_a_step_alone() -> None:
    table = torch.nn.Parameter(torch.zeros(23, WIDTH))
    states = EmbeddingStates(table, list(SUBJECTS.values()))
    states.rows(table, [SUBJECTS["a"], SUBJECTS["c"]]).sum().backward()
    assert set(states._on_device) == {0, 12}
    states.step({"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": DECAY})
    assert not states._on_device and not states._read and not states._gradients
    states.settle()
    assert not states._on_device and len(states._groups) == 0


def stage1_task(folder: Path) -> Stage1Task:
    """Return stage 1 of four subjects, at most two in nearly all batches, tokens cached."""
    rng = np.random.default_rng(1)
    real = {
        name: SubjectFmri(
            name,
            rng.normal(size=(9, v.stop - v.start)).astype(np.float16),
            np.arange(9),
            np.ones(9, dtype=np.int64),
        )
        for name, v in SUBJECTS.items()
    }
    if not folder.exists():
        tokens = rng.normal(size=(9, N_QUERIES, OUT)).astype(np.float16)
        write_shards(folder / "tokens", iter([tokens]))
        pixels = rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
        write_shards(folder / "images", iter([pixels]))
    images = BatchImages(ImageStore(folder / "images"), None)
    targets = SemanticTargets(images, None, {False: ShardedArray(folder / "tokens")})
    settings = SemanticSettings(
        batch=4,
        epochs=4,
        lr=0.02,
        warmup_epochs=0.5,
        weight_decay=DECAY,
        voxels_per_example=4,
        plateau_patience=0,
        plateau_threshold=9.0,
    )
    with seeded_init(1, "bit"):
        model = small_bit(torch.arange(23) % 4, 4, n_queries=N_QUERIES, out_width=OUT)
    train = ExampleSource(real, {}, SUBJECTS, subjects_per_batch=2)
    val = ExampleSource({"b": real["b"]}, {}, SUBJECTS)
    return Stage1Task(model, train, val, targets, settings, 0, torch.device("cpu"))


def test_a_training_of_few_subjects_a_batch_has_the_same_bytes(tmp_path: Path) -> None:
    trained = {}
    for where in ("device", "host"):
        task = stage1_task(tmp_path / "data")
        history = train_stage1(task, "stage 1", Checkpointer(), where)
        assert isinstance(task.model, BrainInteractionTransformer)
        assert task.model.read_rows is rows_of, "as before the training"
        trained[where] = (task.model.state_dict(), history)
    (first, history), (second, other) = trained.values()
    assert history.equals(other)
    assert history["lr"].iloc[-1] < history["lr"].max(), "the rate fell meanwhile"
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = stage1_task(tmp_path / "data").model.state_dict()["voxel_embedding"]
    assert (first["voxel_embedding"] != start).any(dim=1).all()


def test_a_killed_training_continues_with_the_same_bytes(tmp_path: Path) -> None:
    """Killed at its 5th and 11th batch, some subjects absent; a checkpoint after each step."""
    whole = stage1_task(tmp_path / "data")
    train_stage1(whole, "stage 1", Checkpointer(), "host")
    loss, calls, deaths = Stage1Task.loss, [0], {5, 11}

    class Mortal(Stage1Task):
        def loss(self, batch: Stage1Batch) -> torch.Tensor:
            calls[0] += self.model.training
            if self.model.training and calls[0] in deaths:
                raise KeyboardInterrupt
            return loss(self, batch)

    for _ in range(3):
        task = stage1_task(tmp_path / "data")
        task.__class__ = Mortal
        folder = CheckpointFolder(tmp_path / "work", "digest")
        try:
            train_stage1(task, "stage 1", Checkpointer(folder, minutes=60.0, steps=1), "host")
        except KeyboardInterrupt:
            assert folder.newest() is not None
    assert calls[0] == len(deaths) + 4 * whole.n_batches(), "each batch but the killed once"
    first, second = whole.model.state_dict(), task.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_stage_2_with_accumulated_gradients_has_the_same_bytes(tmp_path: Path) -> None:
    write_data(tmp_path)
    names = ("joint", "joint_with_host_states")
    for name in names:
        (tmp_path / name).mkdir()
        TRAININGS[name][0](tmp_path, Checkpointer(), tmp_path / name)
    for file in ("history.csv", "joint.safetensors"):
        first, second = ((tmp_path / name / file).read_bytes() for name in names)
        assert first == second


def test_other_optimizers_and_processes_are_refused() -> None:
    model = small_bit(torch.arange(23) % 4, 4, n_queries=2, out_width=2)
    with pytest.raises(PipelineError) as error, embeddings_on_host(model, SUBJECTS, "muon"):
        pass
    assert error.value.code == "invalid-setting" and "muon" in error.value.found
    for change in (
        {"joint": {"optimizer": "adafactor"}},
        {"joint": {"processes": 2, "accumulation": 2}},
        {"bit_semantic": {"optimizer": "muon"}},
    ):
        ((section, values),) = change.items()
        with pytest.raises(PipelineError, match=f"{section}.{next(iter(values))}") as error:
            parse_sections({"cohort": {"embedding_states": "host"}, **change})
        assert error.value.code == "invalid-setting"
        parse_sections({"cohort": {"embedding_states": "device"}, **change})


def test_a_decoder_without_embeddings_trains_as_before() -> None:
    mlp = BrainMlp(n_voxels=23, hidden=2, n_queries=1, out_width=2)
    with embeddings_on_host(mlp, SUBJECTS, "adamw") as states:
        assert states is None
