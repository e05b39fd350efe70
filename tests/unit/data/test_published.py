"""The Algonauts mask on real-shaped files against set arithmetic, and the published numbers."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd import published
from brainit.data.nsd.anatomy import subject_mask
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.masks import read_mask, read_mask_files
from brainit.data.nsd.mgh import read_mgh_vertices
from brainit.data.nsd.volume import VolumeMask
from brainit.data.trials import TRIAL_COLUMNS, write_trials
from brainit.data.voxels import read_voxels

N_VERTICES = 163842
N_GENERAL = {"lh": 18461, "rh": 19523}
N_PLANTED = {"subj06": {"lh": 26, "rh": 324}, "subj08": {"lh": 23, "rh": 14}}
"""NaN vertices that leave the published counts of subjects 6 and 8."""
N_SESSIONS, N_TRIALS = 2, 3
ALWAYS = NsdSettings(published_checks="always")


@dataclass
class RealShaped:
    """A tree of true sizes, and the sets that it was made from."""

    root: Path
    inside: dict[str, set[int]]
    planted: dict[tuple[str, str], set[int]]

    def kept(self, subject: str, side: str) -> list[int]:
        return sorted(self.inside[side] - self.planted[subject, side])


@pytest.fixture(scope="module")
def real_shaped(
    shared_dir: Path, write_mgh: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> RealShaped:
    """Put the real RSC labels beside a made nsdgeneral, with NaN vertices in two subjects."""
    tree = RealShaped(tmp_path_factory.mktemp("real_shaped"), {}, {})
    rng = np.random.default_rng(0)
    for side in ("lh", "rh"):
        rsc_path = shared_dir / "data" / "fsaverage_labels" / f"{side}.nsdgeneralRSC.mgz"
        rsc = nib.load(rsc_path).get_fdata().ravel()
        free = rng.permutation(np.flatnonzero(rsc != 1))
        general = np.full(N_VERTICES, -1.0, dtype=np.float32)
        general[free[: N_GENERAL[side]]] = 1
        general[free[N_GENERAL[side] : 60000]] = 0
        targets = [tree.root / nsd_paths.label(side, n) for n in ("nsdgeneral", "nsdgeneralRSC")]
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.MGHImage(general[:, None, None], np.eye(4)), targets[0])
        shutil.copy(rsc_path, targets[1])
        tree.inside[side] = {v for v in range(N_VERTICES) if general[v] == 1 or rsc[v] == 1}
        pial = tree.root / nsd_paths.pial(side)
        pial.parent.mkdir(parents=True, exist_ok=True)
        places = rng.random((N_VERTICES, 3), dtype=np.float32)
        nib.freesurfer.write_geometry(pial, places, np.array([[0, 1, 2]]))
        for subject, counts in N_PLANTED.items():
            _write_subject(tree, subject, side, counts[side], rng, write_mgh)
    return tree


def _write_subject(
    tree: RealShaped, subject: str, side: str, n_planted: int, rng: Any, write_mgh: Any
) -> None:
    version = NsdSettings().betas_version
    planted = rng.permutation(sorted(tree.inside[side]))[:n_planted]
    tree.planted[subject, side] = set(planted.tolist())
    outside = sorted(set(range(N_VERTICES)) - tree.inside[side])[:50]  # NaN there is no matter
    for session in range(1, N_SESSIONS + 1):
        values = rng.random((N_TRIALS, N_VERTICES), dtype=np.float32)
        values[0, outside] = np.nan
        half = planted[: n_planted // 2] if session == 1 else planted[n_planted // 2 :]
        values[session, half] = np.nan
        path = tree.root / nsd_paths.betas(subject, version, side, session)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mgh(path, values)
    write_mgh(tree.root / nsd_paths.ncsnr(subject, version, side), np.ones((1, N_VERTICES)))


def prepared(tree: RealShaped, subject: str, out: Path, nsd: NsdSettings) -> Any:
    n = N_SESSIONS * N_TRIALS
    table = pd.DataFrame({name: np.zeros(n, dtype=int) for name in TRIAL_COLUMNS})
    table["trial"], table["nsd_id"], table["split"] = np.arange(n), np.arange(n), "train"
    table["session"] = np.repeat(np.arange(1, N_SESSIONS + 1), N_TRIALS)
    write_trials(out / "trials.csv", table)
    source = str(tree.root)
    return prepare_betas(subject, tree.root, source, out / "trials.csv", out / "work", nsd)


def known(monkeypatch: pytest.MonkeyPatch, subject: str, **changes: Any) -> None:
    """Let the published numbers of `subject` be others."""
    truth = published.published.__wrapped__()
    other = truth.subjects[subject].model_copy(update=changes)
    numbers = truth.model_copy(update={"subjects": {**truth.subjects, subject: other}})
    monkeypatch.setattr(published, "published", lambda: numbers)


def npy_sha256(vertices: list[int], path: Path) -> str:
    """Save the int64 vector as Algonauts 2023 does and hash the file."""
    vector = np.zeros(N_VERTICES, dtype=np.int64)
    vector[vertices] = 1
    np.save(path, vector)
    assert path.stat().st_size == 1310864  # as the published files
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.real
@pytest.mark.parametrize("subject", ["subj06", "subj08"])
def test_mask_equals_set_arithmetic(
    real_shaped: RealShaped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: str
) -> None:
    kept = {side: real_shaped.kept(subject, side) for side in ("lh", "rh")}
    digests = tuple(npy_sha256(kept[side], tmp_path / f"{side}.npy") for side in kept)
    known(monkeypatch, subject, sessions=N_SESSIONS, all_vertices_sha256=digests)
    found = prepared(real_shaped, subject, tmp_path, ALWAYS)
    found.write(tmp_path / "b.npy", tmp_path / "v.safetensors", tmp_path / "b.json")
    voxels = read_voxels(tmp_path / "v.safetensors")
    expected = np.array(kept["lh"] + kept["rh"], dtype=np.int64)
    assert voxels["vertex"].tobytes() == expected.tobytes()
    sides = np.array([0] * len(kept["lh"]) + [1] * len(kept["rh"]), dtype=np.int64)
    assert voxels["hemisphere"].tobytes() == sides.tobytes()
    n_planted = sum(N_PLANTED[subject].values())
    assert voxels.attributes["n_dropped_nan"] == n_planted
    assert len(expected) == 39548 - n_planted == np.load(tmp_path / "b.npy").shape[1]


@pytest.mark.real
def test_labels_of_the_right_counts_alone_do_not_pass(
    real_shaped: RealShaped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, "subj06", sessions=N_SESSIONS)
    with pytest.raises(PipelineError) as error:
        prepared(real_shaped, "subj06", tmp_path, ALWAYS)
    assert error.value.code == "inconsistent-inputs" and error.value.where == "subj06"
    assert "lh.all-vertices" in error.value.expected and "4a2e838b" in error.value.expected


@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ({"algonauts_kept": (18978, 20221)}, "(18978, 20221)", "(18978, 20220)"),
        ({"sessions": 32}, "32", "2"),
    ],
)
def test_wrong_count_stops_the_step(
    real_shaped: RealShaped,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    expected: str,
    found: str,
) -> None:
    known(monkeypatch, "subj06", **{"sessions": N_SESSIONS, **change})
    with pytest.raises(PipelineError) as error:
        prepared(real_shaped, "subj06", tmp_path, ALWAYS)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", found)
    assert error.value.expected.endswith(expected)


@pytest.mark.real
def test_label_with_one_vertex_more(real_shaped: RealShaped) -> None:
    mask = read_mask(real_shaped.root, "algonauts")
    published.check_mask("subj06", ALWAYS, mask)
    more = type(mask)(mask.name, np.r_[mask.vertex, 5], np.r_[mask.hemisphere, 1], mask.n_vertices)
    with pytest.raises(PipelineError) as error:
        published.check_mask("subj06", ALWAYS, more)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "(19004, 20545)")
    assert "(19004, 20544)" in error.value.expected


@pytest.mark.real
def test_any_label_files(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "fsaverage_labels"
    paths = [folder / f"{side}.highlevelvisual.mgz" for side in ("lh", "rh")]
    nsd = NsdSettings(mask="files", mask_files=tuple(map(str, paths)))
    mask = subject_mask(Path("nowhere"), "subj01", nsd, paths)
    for hemisphere, path in enumerate(paths):
        values = nib.load(path).get_fdata().ravel().tolist()
        expected = [vertex for vertex, value in enumerate(values) if value > 0]
        assert mask.vertices_of(hemisphere).tolist() == expected
    assert [len(mask.vertices_of(side)) for side in (0, 1)] == [12776, 12708]
    published.check_mask("subj01", ALWAYS.model_copy(update=dict(nsd)), mask)


def test_label_files_not_handed_over(tmp_path: Path) -> None:
    nsd = NsdSettings(mask="files", mask_files=("lh.x.mgz", "rh.x.mgz"))
    with pytest.raises(PipelineError) as error:
        subject_mask(tmp_path, "subj01", nsd)
    assert (error.value.code, error.value.where) == ("invalid-argument", "--mask-files")
    assert (error.value.expected, error.value.found) == ("2 files", "0")


def test_empty_label_files(tiny_nsd: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{side}.none.mgz" for side in ("lh", "rh")]
    for path in paths:
        nib.save(nib.MGHImage(np.zeros((40, 1, 1), np.float32), np.eye(4)), path)
    with pytest.raises(PipelineError) as error:
        read_mask_files(paths)
    assert error.value.code == "missing-data"
    assert all(str(path) in error.value.expected for path in paths)


def test_tiny_tree_is_not_nsd(tiny_nsd: Any, tmp_path: Path) -> None:
    write_trials(tmp_path / "t.csv", pd.DataFrame(columns=list(TRIAL_COLUMNS)))
    source, trials = str(tiny_nsd.root), tmp_path / "t.csv"
    with pytest.raises(PipelineError) as error:
        prepare_betas("subj01", tiny_nsd.root, source, trials, tmp_path / "work", ALWAYS)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "(40, 40)")
    assert "nsd.published_checks" in error.value.fix


def test_volume_of_other_size() -> None:
    nsd = NsdSettings(space="func1pt8mm", mask="nsdgeneral")
    right = VolumeMask("nsdgeneral", np.arange(15724), (81, 104, 83), np.eye(4))
    published.check_mask("subj01", nsd, right)
    with pytest.raises(PipelineError) as error:
        published.check_mask(
            "subj02", nsd, VolumeMask("nsdgeneral", np.arange(15724), (82, 106, 84), np.eye(4))
        )
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "15724")
    assert "14278" in error.value.expected
    with pytest.raises(PipelineError) as error:
        published.check_mask("subj02", nsd, right)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "(81, 104, 83)")
    assert "(82, 106, 84)" in error.value.expected


@pytest.mark.parametrize(
    ("source", "checks", "expected"),
    [
        ("https://natural-scenes-dataset.s3.amazonaws.com", "nsd", True),
        ("https://natural-scenes-dataset.s3-us-east-2.amazonaws.com", "nsd", True),
        ("https://s3.us-east-2.amazonaws.com/natural-scenes-dataset", "nsd", True),
        ("s3://natural-scenes-dataset", "nsd", True),
        ("s3://another-bucket", "nsd", False),
        ("http://127.0.0.1:9000/natural-scenes-dataset", "nsd", False),
        ("file:///natural-scenes-dataset", "nsd", False),
        ("file:///mirror", "always", True),
        ("s3://natural-scenes-dataset", "never", False),
    ],
)
def test_what_counts_as_nsd(source: str, checks: Any, expected: bool) -> None:
    assert published.is_nsd(source, NsdSettings(published_checks=checks)) is expected


def test_published_numbers_add_up() -> None:
    numbers = published.published()
    subjects = numbers.subjects.values()
    assert sum(s.sessions for s in subjects) == 284
    assert sum(sum(s.algonauts_kept) for s in subjects) == 315997
    assert sum(s.volume_nsdgeneral for s in subjects) == 116395
    # Algonauts adds 543 and 1,021 RSC vertices to nsdgeneral.
    left, right = numbers.masks["nsdgeneral"]
    assert (left + 543, right + 1021) == numbers.masks["algonauts"]
    # The mean ceiling over subjects, that the NSD paper gives as 36.20 %.
    ceilings = [
        100 * m * m / (m * m + 1 / 3) for s in subjects for m in [s.median_ncsnr["fsaverage"]]
    ]
    assert abs(np.mean(ceilings) - 36.20) < 0.05


@pytest.mark.nsd
@pytest.mark.parametrize("subject", [f"subj0{number}" for number in range(1, 9)])
def test_true_masks(subject: str) -> None:
    root = Path(os.environ.get("BRAINIT_NSD", "nowhere"))
    if not (root / nsd_paths.betas(subject, ALWAYS.betas_version, "rh", 1)).is_file():
        pytest.skip(f"no betas of {subject} (set BRAINIT_NSD to the root of NSD's tree)")
    mask = read_mask(root, "algonauts")
    published.check_mask(subject, ALWAYS, mask)
    parts = []
    for hemisphere, side in enumerate(nsd_paths.HEMISPHERES):
        path = root / nsd_paths.betas(subject, ALWAYS.betas_version, side, 1)
        values = read_mgh_vertices(path, mask.vertices_of(hemisphere))
        parts.append(np.isfinite(values).all(axis=0))
    published.check_kept(subject, ALWAYS, mask, np.concatenate(parts))
