"""Hundreds of bad inputs for every reader: right values, or one error with a code.

Never a traceback, a hang, more than twice the memory of the good file, or a changed folder. Memory
is measured twice: what Python and NumPy allocate (tracemalloc), of each case, and the pages that
the process held at its worst, C libraries included, of each reader's cases together. The faults
are drawn from a seed (`tests.bad_inputs`); those that only one format can have follow.
"""

import hashlib
import itertools
import shutil
import signal
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from tests.bad_inputs import faults
from tests.lab_folder import write_lab_folder
from tests.unit.data.tiny_nsd import TinyNsd, write_tiny_nsd

from brainit.api.published_models import PublishedModels
from brainit.commands.plan.contents import read_configuration
from brainit.core.artifacts import read_artifact, read_table, write_artifact
from brainit.core.errors import CODES, PipelineError
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import open_betas
from brainit.data.image_files import external_rows, stimulus_rows
from brainit.data.lab import layout
from brainit.data.lab.bold5000 import REGIONS, import_bold5000
from brainit.data.lab.check import require_valid
from brainit.data.lab.god import read_brain_decoder_data
from brainit.data.nsd.design import prepare_design
from brainit.data.nsd.freesurfer import read_annotation, read_surface
from brainit.data.nsd.masks import read_label
from brainit.data.nsd.mgh import read_mgh_vertices
from brainit.data.nsd.volume import VolumeMask, read_volume, read_volume_betas
from brainit.data.recons import read_recons, write_recons
from brainit.data.trials import TRIAL_COLUMNS, read_trials
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.weights_file import read_network, save_network

SECONDS_PER_CASE = 5
SLACK_BYTES = 8 << 20
"""Buffers of readers (1 MiB blocks of gzip, PIL's), whatever the file's size."""
SLACK_PAGES = 24 << 20
"""What the process may grow by beside, over all cases of a reader: fragments, caches, traces."""
N_CASES = 900
"""Cases of all readers together, at least."""
SIZES = ImageSettings(stored_size=8)
N_TRIALS = 4


@dataclass(frozen=True)
class Door:
    """A reader, and the good file for it."""

    read: Callable[[Path], Any]
    path: Path
    n_head: int = 352
    """Bytes of the head, before values that have no checksum; 352 are NIfTI's."""


class Hang(Exception):
    """A case that took more than its seconds."""


def digest(value: Any) -> str:
    """Return a digest of arrays, tables, images and nested containers."""
    if isinstance(value, torch.Tensor):
        value = value.float().numpy()
    if isinstance(value, np.ndarray):
        value = (
            value.dtype.name,
            value.shape,
            value.astype(value.dtype.newbyteorder("=")).tobytes(),
        )
    elif isinstance(value, pd.DataFrame):
        value = value.to_csv()
    elif isinstance(value, Image.Image):
        value = (value.size, value.tobytes())
    elif isinstance(value, dict):
        value = sorted((str(key), digest(part)) for key, part in value.items())
    elif isinstance(value, list | tuple):
        value = [digest(part) for part in value]
    return hashlib.sha256(repr(value).encode()).hexdigest()


def outcome(door: Door, path: Path) -> tuple[str, str]:
    """Return the code of the error and its text, or "values" and their digest."""

    def stop(*_: Any) -> None:
        raise Hang(path)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_PER_CASE)
    try:
        return "values", digest(door.read(path))
    except PipelineError as error:
        assert error.code in CODES and error.fix
        return error.code, str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> TinyNsd:
    return write_tiny_nsd(tmp_path_factory.mktemp("bad") / "nsd")


def volume_mask() -> VolumeMask:
    return VolumeMask("roi", np.array([1, 2, 9]), (3, 4, 2), np.eye(4))


def write_volumes(folder: Path) -> None:
    raw = np.arange(3 * 4 * 2 * N_TRIALS, dtype=np.int16).reshape(3, 4, 2, N_TRIALS)
    nib.save(nib.Nifti1Image(raw, np.eye(4)), folder / "betas.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((3, 4, 2), np.float32), np.eye(4)), folder / "roi.nii.gz")
    with h5py.File(folder / "betas.hdf5", "w") as handle:
        handle.create_dataset("betas", data=raw.T, chunks=(N_TRIALS, 1, 1, 1))


def write_tables(folder: Path) -> None:
    table = pd.DataFrame({name: range(6) for name in TRIAL_COLUMNS})
    table = table.assign(session=1, run=1, is_shared=False, split=["train", "test"] * 3)
    table.to_csv(folder / "trials.csv", index=False)


def write_models(folder: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4))
    torch.save(module.state_dict(), folder / "state.pth")
    torch.save(module.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": module.state_dict(), "x": np.int64(3)}, folder / "last.ckpt")
    save_file({"a": np.ones((3, 2), np.float32)}, folder / "plain.safetensors")
    save_network(folder / "network.safetensors", module, {"kind": "small"})
    tensors = {"published": np.ones(3, np.float32), "recomputed": np.ones(3, np.float32)}
    attributes = {"subject": "subj01", "n_repeats": 3}
    write_artifact(folder / "ceiling.safetensors", "noise_ceiling", tensors, attributes)


def write_folders(folder: Path) -> None:
    write_lab_folder(folder / "lab")
    write_lab_folder(folder / "lab_of_rows")
    (folder / "lab_of_rows" / "images").rename(folder / "lab_of_rows" / "pictures")
    np.save(folder / "lab_of_rows" / "images.npy", np.zeros((3, 4, 4), np.uint8))
    write_shards(folder / "shards", iter([np.arange(6, dtype=np.uint8).reshape(2, 3)]))
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    picture = Image.fromarray(pixels[0])
    write_recons(folder / "run", np.array([3]), {"fused": pixels}, picture, {"seed": 1})
    runs = folder / "release" / "Stimuli_Presentation_Lists" / "CSI1" / "s"
    runs.mkdir(parents=True)
    (runs / "CSI_sess01_run01.txt").write_text("a.jpg\nrep_b c.jpg\n")
    for name in ("a.jpg", "b c.jpg"):
        picture.save(folder / "release" / name)
    for side, region in itertools.product(("LH", "RH"), REGIONS):
        name = f"CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{side}{region}.npy"
        np.save(folder / "release" / name, np.ones((2, 1)))


def checked(folder: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file of a lab's folder, as the pipeline does, after the check of the whole folder."""
    require_valid(folder)
    return read(folder)


def imported(release: Path) -> Any:
    """Return the trials of a new subject; its folder is removed."""
    out = release.parent / "imported"
    try:
        import_bold5000(release, "CSI1", out)
        return layout.read_trials(out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def write_others(folder: Path) -> None:
    labels = np.arange(20) % 3
    colours = np.array([[i, 0, 9, 0] for i in range(3)])
    nib.freesurfer.write_annot(folder / "lh.annot", labels, colours, list("abc"), fill_ctab=True)
    with h5py.File(folder / "god.h5", "w") as handle:
        handle["dataset"] = np.ones((3, 2))
        handle["metadata/key"] = np.array([b"ROI_VC", b"Run"])
        handle["metadata/value"] = np.ones((2, 2))
    (folder / "mine.yaml").write_text("run: {seed: 3}\ndip: {chunk: 4}\n")
    hub = folder / "hub"
    hub.mkdir()
    (hub / "config.yaml").write_text("dip: {chunk: 4}\n")


@pytest.fixture(scope="module")
def doors(tree: TinyNsd, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Door]:
    folder = tmp_path_factory.mktemp("good")
    for write in (write_volumes, write_tables, write_models, write_folders, write_others):
        write(folder)
    lab, rows, mask = folder / "lab", folder / "lab_of_rows", volume_mask()
    np.save(folder / "betas.npy", np.ones((N_TRIALS, 3), np.float16))

    def volume(path: Path) -> Any:
        return read_volume_betas(path, mask, N_TRIALS)

    def settings(path: Path) -> Any:
        return read_configuration([path]).model_dump()

    return {
        "mgh": Door(
            lambda path: read_mgh_vertices(path, np.array([2, 5])),
            tree.betas_path("subj01", "lh", 1),
        ),
        "label": Door(read_label, tree.label_path("lh")),
        "surface": Door(
            lambda path: read_surface(path, "fetch it"),
            tree.path("nsddata/freesurfer/fsaverage/surf/lh.pial"),
            n_head=3,
        ),
        "annotation": Door(
            lambda path: read_annotation(path, "name it"), folder / "lh.annot", n_head=4
        ),
        "NIfTI-betas": Door(volume, folder / "betas.nii.gz"),
        "HDF5-betas": Door(volume, folder / "betas.hdf5"),
        "region": Door(read_volume, folder / "roi.nii.gz"),
        "stimuli": Door(lambda path: list(stimulus_rows(path, SIZES)), tree.stimuli_path),
        "archive": Door(lambda path: list(external_rows(path, SIZES)), tree.zip_path),
        "design": Door(
            lambda _: prepare_design(tree.root, "subj01", NsdSettings(), 42), tree.expdesign_path
        ),
        "responses": Door(
            lambda _: prepare_design(tree.root, "subj01", NsdSettings(), 42),
            tree.responses_path("subj01"),
            n_head=0,
        ),
        "trials": Door(read_trials, folder / "trials.csv", n_head=0),
        "table": Door(
            lambda path: read_table(path, ("nsd_id",), "make_it"),
            folder / "trials.csv",
            n_head=0,
        ),
        "betas": Door(lambda path: open_betas(path, N_TRIALS), folder / "betas.npy", n_head=120),
        "artifact": Door(
            lambda path: read_artifact(path, "noise_ceiling").tensors,
            folder / "ceiling.safetensors",
            n_head=200,
        ),
        "network": Door(
            lambda path: read_network(path, "small")[1], folder / "network.safetensors"
        ),
        "state-dict": Door(read_tensors, folder / "state.pth"),
        "older-checkpoint": Door(read_tensors, folder / "old.pth"),
        "Lightning": Door(read_tensors, folder / "last.ckpt"),
        "safetensors": Door(read_tensors, folder / "plain.safetensors", n_head=64),
        "lab-betas": Door(
            lambda path: layout.open_betas(path.parent), lab / "betas.npy", n_head=120
        ),
        "lab-trials": Door(
            lambda path: checked(path.parent, layout.read_trials), lab / "trials.csv", n_head=0
        ),
        "lab-voxels": Door(
            lambda path: checked(path.parent, layout.read_voxels), lab / "voxels.csv", n_head=0
        ),
        "lab-rows": Door(
            lambda path: layout.LabImages(path.parent).image("1"), rows / "images.npy", n_head=120
        ),
        "PNG": Door(
            lambda path: layout.LabImages(path.parents[1]).image(path.name),
            lab / "images" / "a.png",
        ),
        "JPEG": Door(
            lambda path: layout.LabImages(path.parents[1]).image(path.name),
            lab / "images" / "x.jpg",
        ),
        "shards": Door(
            lambda path: ShardedArray(path.parent).rows(np.array([1])),
            folder / "shards" / "shards.json",
            n_head=0,
        ),
        "shard": Door(
            lambda path: ShardedArray(path.parent).rows(np.array([1])),
            folder / "shards" / "shard_000.npy",
            n_head=120,
        ),
        "recons": Door(
            lambda path: read_recons(path.parent).images,
            folder / "run" / "recons.h5",
        ),
        "provenance": Door(
            lambda path: read_recons(path.parent).images,
            folder / "run" / "provenance.json",
            n_head=0,
        ),
        "god": Door(lambda path: read_brain_decoder_data(path).samples, folder / "god.h5"),
        "list-of-images": Door(
            lambda path: imported(path.parents[3]),
            folder / "release/Stimuli_Presentation_Lists/CSI1/s/CSI_sess01_run01.txt",
            n_head=0,
        ),
        "settings": Door(settings, folder / "mine.yaml", n_head=0),
        "hub-settings": Door(
            lambda path: PublishedModels(path.parent).settings.model_dump(),
            folder / "hub" / "config.yaml",
            n_head=0,
        ),
    }


FREE = {"table", "trials", "settings", "hub-settings", "lab-voxels", "list-of-images", "JPEG"}
"""Files that nothing checks as a whole: a part of a text may be a whole text of other values.

Other columns of a voxel table are ignored, a name in a list may lack its suffix, a bit of a JPEG
may be another shade.
"""
PROCESS = Path("/proc/self")


def pages_held(kind: str) -> int:
    """Return the bytes that this process holds (VmRSS) or held at its worst (VmHWM).

    0 where the system doesn't tell, which no limit exceeds.
    """
    if not (PROCESS / "clear_refs").exists():
        return 0
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(kind))


def forget_worst() -> None:
    """Let the worst (VmHWM) begin anew; Linux alone can."""
    if (PROCESS / "clear_refs").exists():
        (PROCESS / "clear_refs").write_text("5")


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


TEXTS = "responses trials table lab-trials lab-voxels shards provenance list-of-images settings"
NAMES = f"""mgh label surface annotation NIfTI-betas HDF5-betas region stimuli archive design betas
artifact network state-dict older-checkpoint Lightning safetensors lab-betas lab-rows PNG JPEG
shard recons god {TEXTS} hub-settings"""


@pytest.mark.parametrize("name", NAMES.split())
def test_bad_files_end_in_right_values_or_one_error(doors: dict[str, Door], name: str) -> None:
    door = doors[name]
    good = door.path.read_bytes()
    first = outcome(door, door.path)
    assert first[0] == "values", first
    tracemalloc.start()
    outcome(door, door.path)
    largest = 2 * tracemalloc.get_traced_memory()[1] + SLACK_BYTES
    before = {path.relative_to(door.path.parent) for path in door.path.parent.rglob("*")}
    seen: Counter[str] = Counter()
    forget_worst()
    held = pages_held("VmRSS")
    try:
        for fault, content in faults(good, name, door.n_head):
            door.path.write_bytes(content)
            tracemalloc.reset_peak()
            found = outcome(door, door.path)
            peak = tracemalloc.get_traced_memory()[1]
            assert peak <= largest, f"{fault}: {peak} bytes, of at most {largest}"
            assert door.path.read_bytes() == content, fault
            is_right = found == first or found[0] != "values"
            assert is_right or name in FREE, f"{fault}: {found}"
            seen["error" if found[0] != "values" else "values"] += 1
    finally:
        tracemalloc.stop()
        door.path.write_bytes(good)
    assert {path.relative_to(door.path.parent) for path in door.path.parent.rglob("*")} == before
    assert seen["error"] > seen["values"], seen
    assert pages_held("VmHWM") - held <= largest + SLACK_PAGES


@pytest.mark.skipif(not pages_held("VmHWM"), reason="this system doesn't tell its pages")
def test_pages_of_c_libraries_count() -> None:
    forget_worst()
    held = pages_held("VmRSS")
    tracemalloc.start()
    torch.ones(2 * SLACK_PAGES // 4)  # freed at once
    seen = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen < SLACK_BYTES < SLACK_PAGES < pages_held("VmHWM") - held


def test_there_are_hundreds_of_cases(doors: dict[str, Door]) -> None:
    assert set(NAMES.split()) == doors.keys()
    n_cases = 0
    for name, door in doors.items():
        contents = [content for _, content in faults(door.path.read_bytes(), name, door.n_head)]
        n_cases += len(contents)
    assert n_cases >= N_CASES
