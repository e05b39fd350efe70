"""Checkpoints of every format yield their tensors, and no pickle runs."""

import argparse
import datetime
import io
import os
import pickle
import tracemalloc
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from brainit.core.errors import PipelineError
from brainit.features import tensor_pickle
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.tensor_pickle import _HARMLESS, TensorUnpickler

RAN: list[str] = []


def leave_a_trace(text: str) -> str:
    """Leave a trace, as the code of a malicious pickle would."""
    RAN.append(text)
    return text


class Malicious:
    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.scale = nn.Parameter(torch.rand(2, 3))
        self.register_buffer("kept", torch.arange(4))
        self.register_buffer("unsaved", torch.arange(5), persistent=False)
        self.kind = {"free": torch.nn.functional.relu, "names": {"a", "b"}}


class Tree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Inner(), Inner()])
        self.head = nn.Linear(4, 2, bias=False)
        self.tied = self.head
        self.shape = torch.Size([1, 2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected) or set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


@pytest.fixture
def tree() -> Tree:
    torch.manual_seed(0)
    return Tree()


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_in_both_of_torchs_formats(tmp_path: Path, tree: Tree, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tree.state_dict(), path, _use_new_zipfile_serialization=zipped)
    same(read_tensors(path), tree.state_dict())


def test_storages_are_views_of_what_was_saved(tmp_path: Path) -> None:
    base = torch.arange(24.0).view(4, 6)
    state = {"turned": base.T, "part": base[1:3, 2:], "half": base.half(), "brain": base.bfloat16()}
    torch.save(state, tmp_path / "views.pt")
    same(read_tensors(tmp_path / "views.pt"), state)


def test_a_pickled_module_gives_its_state_dict_without_its_classes(
    tmp_path: Path, tree: Tree
) -> None:
    path = tmp_path / "module.pth"
    torch.save(tree, path)
    with zipfile.ZipFile(path) as archive:
        text = archive.read("module/data.pkl")
    foreign = text.replace(b"test_checkpoint_reader", b"nowhere_to_be_imported")
    assert foreign != text
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "foreign.pth", "w") as new:
        for entry in old.infolist():
            data = foreign if entry.filename.endswith("data.pkl") else old.read(entry)
            new.writestr(entry.filename, data)
    same(read_tensors(tmp_path / "foreign.pth"), tree.state_dict())


def test_a_lightning_checkpoint_gives_its_state_dict(tmp_path: Path, tree: Tree) -> None:
    path = tmp_path / "last.ckpt"
    extra = {"optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}], "folder": Path("a")}
    torch.save({"state_dict": tree.state_dict(), "epoch": 3, **extra}, path)
    same(read_tensors(path), tree.state_dict())


def test_a_scripted_module_gives_its_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.LayerNorm(4)))
    path = tmp_path / "scripted.pt"
    torch.jit.trace(module, torch.rand(2, 3)).save(str(path))
    same(read_tensors(path), module.state_dict())


def test_safetensors_are_read(tmp_path: Path, tree: Tree) -> None:
    state = {name: value.clone() for name, value in tree.state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    same(read_tensors(tmp_path / "x.safetensors"), state)


NUMPY_EXTRAS = {
    "number": np.int64(3),
    "float": np.float32(0.5),
    "array": np.arange(3),
    "text": np.array(["a", "b"]),
    "dtype": np.dtype("<f4"),
}
PLAIN_EXTRAS = {
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "complex": 1j,
    "counter": Counter("aab"),
    "size": torch.Size([2, 3]),
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "namespace": argparse.Namespace(lr=0.1),
    "slice": slice(1, 2),
    "when": datetime.datetime(2024, 1, 1),
}


@pytest.mark.parametrize("extra", [*NUMPY_EXTRAS.values(), *PLAIN_EXTRAS.values()], ids=repr)
def test_what_checkpoints_of_trainings_hold_beside_tensors(
    tmp_path: Path, tree: Tree, extra: object
) -> None:
    path = tmp_path / "last.ckpt"
    for protocol in (2, 4):
        content = {"state_dict": tree.state_dict(), "extra": extra, "nested": [{"x": extra}]}
        torch.save(content, path, pickle_protocol=protocol)
        same(read_tensors(path), tree.state_dict())


def test_a_parameter_with_numpy_numbers_as_attributes(tmp_path: Path) -> None:
    """The authors' decoders note a sum of an array of NumPy on a parameter."""
    module = nn.Linear(3, 2)
    module.weight.num_voxels = np.arange(3).sum()  # type: ignore[attr-defined]
    torch.save(module.state_dict(keep_vars=True), tmp_path / "x.pt")
    same(read_tensors(tmp_path / "x.pt"), module.state_dict())


def test_tensors_of_torchs_newer_dtypes(tmp_path: Path) -> None:
    state = {
        "a": torch.tensor([0, 3], dtype=torch.uint16),
        "b": torch.ones(3).to(torch.float8_e4m3fn),
    }
    torch.save({"state_dict": state, "x": np.int64(3)}, tmp_path / "x.pt")
    found = read_tensors(tmp_path / "x.pt")
    assert {name: (t.dtype, t.float().tolist()) for name, t in found.items()} == {
        name: (t.dtype, t.float().tolist()) for name, t in state.items()
    }


def test_whatever_torch_holds_to_be_inert_is_inert_here() -> None:
    """A call of each name that torch's own reader allows is not refused."""
    from torch._weights_only_unpickler import _get_allowed_globals

    for full in _get_allowed_globals():
        module, _, name = full.rpartition(".")
        found = TensorUnpickler(io.BytesIO(), lambda _: None).find_class(module, name)
        refused = isinstance(found, type) and not getattr(found, "called", "torch.").startswith(
            _HARMLESS
        )
        assert not refused, full


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("call", "name"),
    [(os.system, "system"), (leave_a_trace, "leave_a_trace"), (eval, "eval")],
    ids=["system", "own", "eval"],
)
def test_a_malicious_pickle_does_not_run_and_is_named(
    tmp_path: Path, call, name: str, zipped: bool
) -> None:
    trace = tmp_path / "trace"
    command = f"touch {trace}" if call is os.system else f"open({str(trace)!r}, 'w')"
    path = tmp_path / "bad.pth"
    state = OrderedDict(weight=torch.ones(2), bad=Malicious(call, command))
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError) as error:
        read_tensors(path)
    assert error.value.code == "unsafe-file" and name in error.value.found
    assert not RAN
    assert not trace.exists()


def test_a_call_hidden_in_a_state_is_refused(tmp_path: Path, tree: Tree) -> None:
    tree.blocks[0].kind = Malicious(leave_a_trace, "hidden")  # type: ignore[assignment]
    torch.save(tree, tmp_path / "bad.pth")
    with pytest.raises(PipelineError) as error:
        read_tensors(tmp_path / "bad.pth")
    assert error.value.code == "unsafe-file" and "leave_a_trace" in error.value.found
    assert not RAN


def test_harmless_calls_are_not_run_either(tmp_path: Path) -> None:
    hub = Malicious(torch.hub.set_dir, str(tmp_path / "moved"))
    before = torch.hub.get_dir()
    torch.save({"weight": torch.ones(2), "call": hub}, tmp_path / "inert.pth")
    assert list(read_tensors(tmp_path / "inert.pth")) == ["weight"]
    assert torch.hub.get_dir() == before


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "damaged-file"),
        (b"not a checkpoint", "wrong-kind"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "wrong-kind"),
        (b"<!DOCTYPE html><p>sign in", "wrong-kind"),
        (pickle.dumps({"a": 1})[:-4], "unsafe-file"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(PipelineError, match=r"expected .*found .*Fix: ") as error:
        read_tensors(tmp_path / "x.pth")
    assert error.value.code == code
    with pytest.raises(PipelineError) as error:
        read_tensors(tmp_path / "none.pth")
    assert error.value.code == "missing-file" and error.value.where.endswith("none.pth")


def write_pickle(path: Path, content: bytes) -> Path:
    """Write an archive as torch does, of this pickle alone."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content)
    return path


def test_shared_dictionaries_cannot_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_pickle, "_MOST_VALUES", 1000)
    shared: dict[str, object] = {"x": torch.ones(1)}
    for _ in range(30):
        shared = {"a": shared, "b": shared}
    torch.save(shared, tmp_path / "a.pth")
    with pytest.raises(PipelineError) as error:
        read_tensors(tmp_path / "a.pth")
    assert error.value.code == "damaged-file"


def test_a_small_pickle_cannot_reserve_memory(tmp_path: Path) -> None:
    numbered = b"\x80\x02}r" + (1 << 25).to_bytes(4, "little") + b"."
    stated = b"\x80\x03}B" + (1 << 29).to_bytes(4, "little") + b"."
    for content in (numbered, stated):
        path = write_pickle(tmp_path / "a.pth", content)
        tracemalloc.start()
        try:
            with pytest.raises(PipelineError) as error:
                read_tensors(path)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert error.value.code == "damaged-file"


def test_an_archive_that_is_no_checkpoint_shows_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", weights=np.ones(2))
    with pytest.raises(PipelineError) as error:
        read_tensors(tmp_path / "x.npz")
    assert error.value.code == "wrong-kind" and "weights.npy" in error.value.found


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(100)}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "cut.pth", "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry.filename, data[:40] if entry.filename.endswith("data/0") else data)
    with pytest.raises(PipelineError) as error:
        read_tensors(tmp_path / "cut.pth")
    assert error.value.code == "damaged-file"
