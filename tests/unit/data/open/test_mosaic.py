"""MOSAIC from a bucket to arrays, against plain arithmetic; sessions by a join; and faults."""

import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.refusals import refused
from tests.unit.data.open import mosaic_miniature as mini

from brainit.commands.program import run
from brainit.core.artifacts import read_artifact
from brainit.core.cli import guarded
from brainit.core.settings import ImageSettings, NsdSettings, Settings
from brainit.data.lab.layout import read_about
from brainit.data.lab.prepare import LabOutputs, import_lab_subject
from brainit.data.open.mosaic import MosaicImport, import_mosaic, write_nsd_images
from brainit.data.open.mosaic_sessions import expected_counts, join_sessions
from brainit.data.open.mosaic_tables import without_artificial

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> mini.Mosaic:
    return mini.write_mosaic(tmp_path_factory.mktemp("mosaic"))


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Write 30 places of cortex, the faulty and the outermost ones among them."""
    places = np.arange(5, mini.N_CORTEX, 2200)
    odd = [0, mini.INFINITE, mini.MISSING, mini.N_LEFT - 1, mini.N_LEFT, mini.N_CORTEX - 1]
    places = np.union1d(places, odd)
    path = tmp_path_factory.mktemp("mask") / "places.npy"
    np.save(path, places)
    return path, places


def wanted(mosaic: mini.Mosaic, **changes: Any) -> MosaicImport:
    """Return the import of the miniature from its folder."""
    base = MosaicImport(
        source=str(mosaic.bucket),
        subject=mini.SUBJECT,
        images=mosaic.root / "images",
        stimuli=mosaic.root / "b5000_stiminfo.tsv",
        shown=mosaic.root / "events",
        task="5000scenes",
        lists=mosaic.root / "lists",
        geometry=None,
        vertices=None,
        accepts_terms=False,
        accepts_nsd_terms=False,
    )
    return replace(base, **changes)


def in_time_order(mosaic: mini.Mosaic) -> list[str]:
    """Return the name of each trial, counting the repeats of each stem."""
    seen: dict[str, int] = {}
    names = []
    for _, _, stem in mosaic.order:
        names.append(mini.trial_name(stem, seen.get(stem, 0)))
        seen[stem] = seen.get(stem, 0) + 1
    return names


def test_from_bucket_to_arrays(
    mosaic: mini.Mosaic, in_bucket: Callable[..., Any], tmp_path: Path
) -> None:
    in_bucket("mosaicfmri", mosaic.bucket)
    root, folder = mosaic.root, tmp_path / "sub"
    arguments = ["import-subject", "mosaic", "s3://mosaicfmri", str(folder), "--accept-terms"]
    arguments += ["--subject", mini.SUBJECT, "--images", str(root / "images")]
    arguments += ["--stimuli", str(root / "b5000_stiminfo.tsv"), "--splits", str(root / "lists")]
    arguments += ["--events", str(root / "events"), "--task", "5000scenes"]
    assert guarded(run, arguments) == 0
    names = in_time_order(mosaic)
    expected = np.stack([mosaic.values[name][: mini.N_CORTEX] for name in names])
    expected = np.delete(expected, [mini.INFINITE, mini.MISSING], axis=1)
    betas = np.load(folder / "betas.npy")
    assert betas.dtype == np.float16
    np.testing.assert_array_equal(betas, expected.astype(np.float32).astype(np.float16))
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["session"].tolist() == [session for session, _, _ in mosaic.order]
    assert trials["run"].tolist() == [number for _, number, _ in mosaic.order]
    assert trials["image"].tolist() == [f"{stem}.jpg" for _, _, stem in mosaic.order]
    sides = {"near": "unused", **dict.fromkeys(mini.TESTED, "test")}
    assert trials["split"].tolist() == [sides.get(s, "train") for _, _, s in mosaic.order]
    about = json.loads((folder / "subject.json").read_text())
    assert about["zscored"] is True and about["n_repeats_missing"] == 0
    assert about["n_artificial_left_out"] == 2 and about["has_sessions"] is True
    assert about["crc32"] == f"{zlib.crc32(mosaic.file.read_bytes()):08x}"


def test_vertices_places_and_ceilings(
    mosaic: mini.Mosaic, chosen: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    vertex, meshes = mini.write_geometry(tmp_path / "geometry")
    ask = wanted(mosaic, geometry=tmp_path / "geometry", vertices=chosen[0])
    import_mosaic(ask, tmp_path / "sub")
    voxels = pd.read_csv(tmp_path / "sub/voxels.csv")
    kept = [p for p in chosen[1].tolist() if p not in (mini.INFINITE, mini.MISSING)]
    assert voxels["grayordinate"].tolist() == kept
    for row, place in enumerate(kept):
        side = "L" if place < mini.N_LEFT else "R"
        assert voxels["hemisphere"][row] == "LR".index(side)
        assert voxels["vertex"][row] == vertex[place]
        found = voxels.loc[row, ["x_mm", "y_mm", "z_mm"]].to_numpy(dtype=float)
        np.testing.assert_allclose(found, meshes[side][vertex[place]], atol=1e-5)
        share = np.nan_to_num(mosaic.ceiling[place]) / 100
        single = share / (1 - share)
        assert voxels["noise_ceiling"][row] == pytest.approx(
            100 * single / (single + 1 / 3), rel=1e-4
        )


def test_z_scores_are_not_z_scored_again(
    mosaic: mini.Mosaic, chosen: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    import_mosaic(wanted(mosaic, vertices=chosen[0]), tmp_path / "sub")
    names = ("trials.csv", "names.csv", "stimuli", "betas.npy", "voxels.safetensors")
    rest = ("betas.json", "ceiling.safetensors", "ceiling.csv")
    made = LabOutputs(*(tmp_path / "made" / name for name in (*names, *rest)))
    images = ImageSettings(stored_size=8, rows_per_shard=5)
    settings = Settings(nsd=NsdSettings(validation_share=0.25), images=images)
    import_lab_subject(tmp_path / "sub", "mosaic", settings, made)
    given = np.load(tmp_path / "sub/betas.npy")
    np.testing.assert_array_equal(np.load(made.betas), given)
    summary = json.loads(made.summary.read_text())
    assert summary["zscore"] == "as_given" and summary["about"]["data_set"] == "MOSAIC"
    assert read_artifact(made.voxels, "voxels").attributes["space"] == "lab volume"
    (tmp_path / "sub/subject.json").write_text('{"zscored": "yes"}')
    with refused("wrong-kind", "zscored", "'yes'"):
        import_lab_subject(tmp_path / "sub", "mosaic", settings, made)
    (tmp_path / "sub/subject.json").write_text('{"zscored": false}')
    import_lab_subject(tmp_path / "sub", "mosaic", settings, made)
    first = np.load(made.betas)[:6].astype(float)
    np.testing.assert_allclose(first.std(axis=0), 1, atol=2e-3)


def test_without_tables_all_is_one_session_by_phase(
    mosaic: mini.Mosaic,
    chosen: tuple[Path, np.ndarray],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask = wanted(mosaic, vertices=chosen[0], shown=None, lists=None, test_repeats=2)
    import_mosaic(ask, tmp_path / "sub")
    trials = pd.read_csv(tmp_path / "sub/trials.csv")
    assert set(trials["session"]) == {1} and len(trials) == sum(mini.REPEATS.values())
    expected = [(f"{s}.jpg", r) for s, n in sorted(mini.REPEATS.items()) for r in range(n)]
    assert trials["image"].tolist() == [image for image, _ in expected]
    assert trials["split"].tolist() == [
        "train" if image[:-4] not in mini.TESTED else "test" if rep < 2 else "unused"
        for image, rep in expected
    ]
    about = json.loads((tmp_path / "sub/subject.json").read_text())
    assert about["has_sessions"] is False and "seconds_per_trial" not in about
    messages = " ".join(record.message for record in caplog.records)
    assert "one session" in messages and "near copies" in messages
    assert "refused" in messages


def test_seconds_per_trial_are_kept(
    mosaic: mini.Mosaic, chosen: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    ask = wanted(mosaic, vertices=chosen[0], shown=None, lists=None, seconds_per_trial=4.5)
    import_mosaic(ask, tmp_path / "sub")
    assert read_about(tmp_path / "sub")["seconds_per_trial"] == 4.5


def test_terms(mosaic: mini.Mosaic, tmp_path: Path) -> None:
    with refused("terms", "CC BY"):
        import_mosaic(wanted(mosaic, source="s3://mosaicfmri"), tmp_path / "sub")
    ask = wanted(mosaic, source="s3://mosaicfmri", subject="sub-01_NSD", accepts_terms=True)
    with refused("terms", "--accept-nsd-terms"):
        import_mosaic(ask, tmp_path / "sub")


def changed(mosaic: mini.Mosaic, folder: Path, change: Callable[[h5py.File], Any]) -> str:
    """Return a source whose file is changed."""
    path = folder / f"{mini.SUBJECT}.hdf5"
    folder.mkdir()
    shutil.copy(mosaic.file, path)
    with h5py.File(path, "r+") as handle:
        change(handle)
    return str(folder)


def replaced(handle: h5py.File, values: np.ndarray) -> None:
    name = f"betas/{mini.trial_name('d', 0)}"
    del handle[name]
    handle[name] = values


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        (lambda f: replaced(f, np.zeros(100)), "wrong-shape", "(100,)"),
        (lambda f: replaced(f, np.array([b"x"] * mini.N)), "wrong-shape", "|S1"),
        (lambda f: f["betas"].create_dataset("other", data=[0.0]), "wrong-kind", "'other'"),
        (lambda f: f.pop("betas"), "missing-data", "noiseceilings"),
        (
            lambda f: f["betas"].move(mini.trial_name("d", 0), mini.trial_name("e", 7)),
            "inconsistent-inputs",
            "'e'",
        ),
        (
            lambda f: f["betas"].create_dataset(
                mini.trial_name("d", 0).replace("train", "test"), data=np.zeros(mini.N)
            ),
            "duplicate-data",
            "'d'",
        ),
    ],
)
def test_other_files(
    mosaic: mini.Mosaic,
    chosen: tuple[Path, np.ndarray],
    tmp_path: Path,
    change: Callable[[h5py.File], Any],
    code: str,
    fact: str,
) -> None:
    source = changed(mosaic, tmp_path / "source", change)
    with refused(code, fact):
        import_mosaic(wanted(mosaic, source=source, vertices=chosen[0]), tmp_path / "sub")


def test_other_dtypes_and_a_repeat_never_scanned(
    mosaic: mini.Mosaic, chosen: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    def change(handle: h5py.File) -> None:
        replaced(handle, mosaic.values[mini.trial_name("d", 0)].astype(">f4"))
        del handle[f"betas/{mini.trial_name('t_1', 2)}"]

    source = changed(mosaic, tmp_path / "source", change)
    ask = wanted(mosaic, source=source, vertices=chosen[0])
    import_mosaic(ask, tmp_path / "sub")
    about = json.loads((tmp_path / "sub/subject.json").read_text())
    assert about["n_repeats_missing"] == 1
    trials = pd.read_csv(tmp_path / "sub/trials.csv")
    betas = np.load(tmp_path / "sub/betas.npy")
    row = trials["image"].tolist().index("d.jpg")
    kept = [p for p in chosen[1] if p != mini.INFINITE]  # the NaN was in the lost trial
    expected = mosaic.values[mini.trial_name("d", 0)][kept].astype(np.float16)
    np.testing.assert_array_equal(betas[row], expected)


def test_tables_that_disagree(
    mosaic: mini.Mosaic, chosen: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    shutil.copytree(mosaic.root / "events", tmp_path / "events")
    path = next(tmp_path.glob("events/*/*ses-02*scenes_run-02*"))
    pd.read_csv(path, sep="\t").iloc[:1].to_csv(path, sep="\t", index=False)
    with refused("inconsistent-inputs", "presentation"):
        ask = wanted(mosaic, shown=tmp_path / "events", vertices=chosen[0])
        import_mosaic(ask, tmp_path / "sub")
    with refused("duplicate-data", "--task"):
        ask = wanted(mosaic, task=None, vertices=chosen[0])
        import_mosaic(ask, tmp_path / "other")
    stated = mosaic.file.with_name(f"{mini.SUBJECT}_crc32-0000abcd.hdf5")
    shutil.copy(mosaic.file, tmp_path / stated.name)
    with refused("checksum", "0000abcd"):
        ask = wanted(mosaic, source=str(tmp_path / stated.name), vertices=chosen[0])
        import_mosaic(ask, tmp_path / "third")
    (tmp_path / "lists").mkdir()
    for name in ("train", "test"):
        (tmp_path / f"lists/{name}_naturalistic.json").write_text('[{"a": ["b.npz"]}]')
    with refused("leak", "b in two"):
        ask = wanted(mosaic, lists=tmp_path / "lists", vertices=chosen[0])
        import_mosaic(ask, tmp_path / "fourth")


def test_an_import_that_continues_takes_the_lists_it_is_given(
    mosaic: mini.Mosaic,
    chosen: tuple[Path, np.ndarray],
    in_bucket: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_bucket("mosaicagain", mosaic.bucket)
    ask = wanted(mosaic, source="s3://mosaicagain", accepts_terms=True, vertices=chosen[0])
    with refused("missing-file", "images"):
        import_mosaic(replace(ask, images=tmp_path), tmp_path / "sub")
    work = tmp_path / ".sub.import"
    assert work.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("brainit.data.open.mosaic.fetch", lambda *_: pytest.fail("fetched"))
    with refused("wrong-settings", "vertices", str(work / "sessions")):
        import_mosaic(replace(ask, vertices=None), tmp_path / "sub")
    (tmp_path / "events").symlink_to(mosaic.root / "events")
    with refused("wrong-settings", "sessions"):
        import_mosaic(replace(ask, shown=tmp_path / "events"), tmp_path / "sub")
    shutil.copytree(mosaic.root / "lists", tmp_path / "lists")
    path = tmp_path / "lists/train_naturalistic.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))  # without d
    monkeypatch.setattr("brainit.data.open.mosaic.cortex_rows", lambda *_: pytest.fail("read"))
    import_mosaic(replace(ask, lists=tmp_path / "lists"), tmp_path / "sub")
    trials = pd.read_csv(tmp_path / "sub/trials.csv").set_index("image")
    assert trials.loc["d.jpg", "split"] == "unused" and trials.loc["b c.jpg", "split"] == "train"
    about = json.loads((tmp_path / "sub/subject.json").read_text())
    assert about["splits"][path.name] == f"{zlib.crc32(path.read_bytes()):08x}"
    assert not work.exists() and "name" not in trials


def shown_as(places: list[tuple[int, int, str]]) -> pd.DataFrame:
    return pd.DataFrame(places, columns=["session", "run", "stem"])


def test_immediate_repeats_that_have_no_trial_are_passed_over() -> None:
    trials = pd.DataFrame({"stem": ["x", "x", "y"], "rep": [0, 1, 0], "name": ["x0", "x1", "y0"]})
    counts = expected_counts(trials, None, "sub-01_GOD")
    shown = shown_as([(1, 1, "x"), (1, 1, "x"), (1, 1, "other"), (1, 1, "y"), (1, 2, "x")])
    joined = join_sessions(trials, shown, counts, Path("events"))
    assert joined["name"].tolist() == ["x0", "y0", "x1"]
    assert joined["run"].tolist() == [1, 1, 2]
    kept = shown_as([(1, 1, "x"), (1, 1, "x"), (1, 1, "y")])  # counted, hence no one-back repeat
    joined = join_sessions(trials, kept, counts, Path("events"))
    assert joined["name"].tolist() == ["x0", "x1", "y0"]
    between = shown_as([(1, 1, "x"), (1, 1, "z"), (1, 1, "x"), (1, 1, "y"), (1, 1, "y")])
    joined = join_sessions(trials, between, counts, Path("events"))
    assert joined["name"].tolist() == ["x0", "x1", "y0"]
    again = shown_as([(1, 1, "x"), (1, 1, "y"), (1, 2, "x"), (2, 1, "y")])
    with refused("inconsistent-inputs", "'y'", "found 2", "--stimuli"):
        join_sessions(trials, again, counts, Path("events"))
    table = pd.DataFrame({"stem": ["x", "y"], "sub-01_reps": ["2", "2"]})
    counts = expected_counts(trials, table, "sub-01_GOD")
    joined = join_sessions(trials, again, counts, Path("events"))
    assert joined["session"].tolist() == [1, 1, 1]


def test_only_the_end_of_nsds_plan_may_lack_in_the_file() -> None:
    trials = pd.DataFrame({"stem": ["x", "x", "y"], "rep": [0, 1, 0], "name": ["x0", "x1", "y0"]})
    counts = expected_counts(trials, None, "sub-01_NSD")
    plan = [(1, 1, "x"), (1, 1, "y"), (2, 1, "x")]
    joined = join_sessions(trials, shown_as([*plan, (3, 1, "y")]), counts, Path("plan.mat"))
    assert joined["name"].tolist() == ["x0", "y0", "x1"]
    with refused("inconsistent-inputs", "'y'", "found 2"):
        join_sessions(trials, shown_as([*plan, (2, 1, "y")]), counts, Path("plan.mat"))


def test_artificial_trials_are_left_out() -> None:
    stems = ["x", "x", "003", "y"]
    trials = pd.DataFrame({"name": list("abcd"), "stem": stems, "rep": [0, 1, 0, 0]})
    sources = {"x": "COCO", "003": "NSDsynthetic", "y": "COCO"}
    table = pd.DataFrame({"stem": list(sources), "source": list(sources.values())})
    table["alias"] = ["3", "3", "0"]  # NSD's image 3, and the synthetic image 3
    for stimuli, listed in ((table, {}), (None, {"c": "artificial"}), (table, {"c": "artificial"})):
        kept, natural = without_artificial(trials, "sub-01_NSD", stimuli, listed)
        assert kept["name"].tolist() == ["a", "b", "d"]
        assert natural is None or natural["alias"].tolist() == ["3", "0"]
    for stimuli in (None, table.drop(columns="source")):
        with refused("missing-data", "sub-01_NSD", "--stimuli", "test_artificial.json"):
            without_artificial(trials, "sub-01_NSD", stimuli, {"a": "train"})
    kept, _ = without_artificial(trials, "sub-01_BOLD5000", None, {})
    assert len(kept) == 4


def test_pictures_of_nsd(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "nsd_stimuli.hdf5", "w") as handle:
        handle["imgBrick"] = pixels
    stimuli = pd.DataFrame({"stem": ["x", "y"], "alias": ["4", "7"]})
    files = write_nsd_images(tmp_path / "nsd_stimuli.hdf5", ["x"], stimuli, tmp_path / "images")
    np.testing.assert_array_equal(np.asarray(Image.open(files["x"])), pixels[4])
    with refused("missing-data", "'7'"):
        write_nsd_images(tmp_path / "nsd_stimuli.hdf5", ["y"], stimuli, tmp_path / "images")
