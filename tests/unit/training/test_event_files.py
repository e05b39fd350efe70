"""TensorBoard's event files: the history's numbers, and no other byte of a training."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from tests.refusals import refused
from tests.small_trainings import stage1, write_data

from brainit.core.files import sha256_of
from brainit.core.settings import RunSettings, Settings
from brainit.training.event_files import EventFiles
from brainit.training.resume import Work, digest_of, resumable
from brainit.workflow.reads import READS, settings_json

COLUMNS = ("train_loss", "lr")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (epoch, value) by name, as TensorBoard reads them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder)).Reload()
    names = events.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def train(folder: Path, data: Path, tensorboard: int) -> Path:
    folder.mkdir()
    work = Work(folder / "work", "code", tensorboard=tensorboard)
    with resumable(work, Settings(), {}, folder / "history.csv") as checkpoints:
        stage1(data, checkpoints, folder)
    return folder


def test_a_training_writes_its_history_and_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write_data(tmp_path / "data")
    plain, watched = (
        train(tmp_path / name, tmp_path / "data", switch)
        for name, switch in (("plain", 0), ("watched", 1))
    )
    for name in ("history.csv", "bit.safetensors"):
        assert sha256_of(plain / name) == sha256_of(watched / name)
    assert not list(plain.glob("events*")) and len(list(watched.glob("events*"))) == 1
    history = pd.read_csv(watched / "history.csv")
    found = scalars(watched)
    assert set(found) == set(history.columns) - {"epoch"}
    for name, pairs in found.items():
        assert [epoch for epoch, _ in pairs] == history["epoch"].tolist()
        assert [value for _, value in pairs] == pytest.approx(history[name].tolist(), rel=1e-6)


def test_a_training_that_continues_replaces_the_later_epochs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for jobs in (((1, 2, 3),), ((1, 2, 3), (3, 4))):
        for job, epochs in enumerate(jobs):
            files = EventFiles(tmp_path)
            for epoch in epochs:
                files.add(COLUMNS, [epoch, 10 * epoch + job, 0.1])
            files.close()
    assert scalars(tmp_path)["train_loss"] == [(1, 10), (2, 20), (3, 31), (4, 41)]


def test_without_the_package_the_switch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    work = Work(tmp_path / "work", "code", tensorboard=1)
    with (
        refused("not-installed", "run.tensorboard", "brainit[tensorboard]"),
        resumable(work, Settings(), {}, tmp_path / "history.csv"),
    ):
        raise AssertionError("it is refused before the training")


def test_the_switch_is_part_of_no_digest() -> None:
    off, on = Settings(), Settings(run=RunSettings(tensorboard=True))
    assert digest_of(off, "code", {}) == digest_of(on, "code", {})
    for step in READS:
        told = [settings_json(step, settings.model_dump(mode="json")) for settings in (off, on)]
        assert told[0] == told[1], step
