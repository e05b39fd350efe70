"""A cohort's images and trials, joined: no picture is on both sides, equal or nearly so."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from brainit.core.errors import PipelineError
from brainit.core.shards import join_shards, write_rows
from brainit.data.cohort import JoinFiles, join_cohort
from brainit.data.picture_hash import Pictures, describe, near_pairs
from brainit.data.pixels import PixelStore
from brainit.data.seen import stimuli_of, trials_of
from brainit.data.trials import read_trials, write_trials

SIDE = 64
MOST_BITS = 6


def picture(seed: int) -> NDArray[np.uint8]:
    """Return a picture with structure at many scales."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            ),
            dtype=float,
        )
        for n in (3, 6, 12, 32)
    ]
    return np.average(layers, axis=0, weights=[4, 3, 2, 1]).astype(np.uint8)


def near_copy(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture after a smaller size, blur and other brightness."""
    image = Image.fromarray(pixels).resize((41, 41)).filter(ImageFilter.GaussianBlur(0.6))
    return (np.asarray(image.resize((SIDE, SIDE)), dtype=float) * 0.92 + 9).astype(np.uint8)


def write_subject(
    root: Path, name: str, shown: list[tuple[int, str]], images: list[NDArray[np.uint8]]
) -> None:
    """Write a set's images, their names, and a trial table of (row, split)."""
    write_rows(root / name / "stimuli", iter(images), 5, {"side": SIDE})
    table = pd.DataFrame({"nsd_id": range(len(images))})
    table["image"] = [f"{k}.png" for k in range(len(images))]
    table.to_csv(root / name / "names.csv", index=False)
    write_table_of(root / name / "trials.csv", shown)


def write_table_of(path: Path, shown: list[tuple[int, str]]) -> None:
    trials = pd.DataFrame(shown, columns=["nsd_id", "split"])
    n = len(trials)
    trials = trials.assign(trial=range(n), session=1, run=1, trial_in_session=range(n))
    trials = trials.assign(repeat=0, is_shared=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_trials(path, trials)


def join(root: Path, *names: str, nsd: tuple[str, ...] = ()) -> Path:
    sets = [*(["nsd"] if nsd else []), *names]
    files = JoinFiles(
        stimuli={name: root / name / "stimuli" for name in sets},
        trials={
            **{s: root / s / "trials.csv" for s in nsd},
            **{s: root / s / "trials.csv" for s in names},
        },
        out=root / "cohort",
        names={name: root / name / "names.csv" for name in names},
    )
    join_cohort(files, MOST_BITS)
    return root / "cohort"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """NSD tests 0, 1 and trains 2, 3; anna trains with equals and near copies of its pictures.

    Anna trains with NSD's test picture 0 and a near copy of 1, and tests a near copy of 2; ben sees
    NSD's picture 3, too, and trains with it.
    """
    own = {k: picture(k) for k in range(20)}
    nsd = [own[k] for k in range(4)]
    write_rows(tmp_path / "nsd/stimuli", iter(nsd), 5, {"side": SIDE})
    write_table_of(tmp_path / "subj01/trials.csv", [(0, "test"), (2, "train"), (3, "train")])
    write_table_of(tmp_path / "subj02/trials.csv", [(1, "test"), (3, "train"), (2, "val")])
    anna = [own[10], own[0], near_copy(own[1]), near_copy(own[2]), own[11]]
    shown = [(0, "train"), (1, "train"), (1, "train"), (2, "val"), (3, "test"), (4, "train")]
    write_subject(tmp_path, "anna", shown, anna)
    write_subject(
        tmp_path, "ben", [(0, "train"), (1, "train"), (2, "test")], [own[3], own[12], own[13]]
    )
    return tmp_path


def test_a_picture_tested_in_one_set_trains_in_none(planted: Path) -> None:
    out = join(planted, "anna", "ben", nsd=("subj01", "subj02"))
    anna = read_trials(out / "trials/anna.csv")
    assert anna["split"].tolist() == ["train", "unused", "unused", "unused", "test", "train"]
    assert read_trials(out / "trials/subj01.csv")["split"].tolist() == ["test", "unused", "train"]
    assert read_trials(out / "trials/subj02.csv")["split"].tolist() == ["test", "train", "unused"]
    tables = [read_trials(path) for path in (out / "trials").glob("*.csv")]
    store = PixelStore(out / "images/stimuli")
    seen: dict[str, list[NDArray[np.uint8]]] = {}
    for table in tables:
        for split, rows in table.groupby("split")["nsd_id"]:
            seen.setdefault(str(split), []).extend(store.pixels(rows.to_numpy(np.int64)))
    for tested in seen["test"]:
        for trained in [*seen["train"], *seen.get("val", [])]:
            plain = np.corrcoef(tested.astype(float).ravel(), trained.astype(float).ravel())[0, 1]
            assert plain < 0.9, "by all pixels, without any hash"


def test_seconds_of_trials_stay_with_their_subject(planted: Path) -> None:
    path = planted / "ben/trials.csv"
    write_trials(path, read_trials(path).assign(seconds=4.0))
    out = join(planted, "anna", "ben", nsd=("subj01", "subj02"))
    assert (read_trials(out / "trials/ben.csv")["seconds"] == 4.0).all()
    assert "seconds" not in read_trials(out / "trials/anna.csv")


def test_a_picture_that_validates_in_one_set_trains_in_no_other(tmp_path: Path) -> None:
    """Test wins over validation, validation over training; unused pictures block nothing."""
    own = [picture(k) for k in range(4)]
    shown = [(0, "val"), (1, "train"), (2, "test"), (3, "unused")]
    write_subject(tmp_path, "anna", shown, own)
    copies = [own[0], near_copy(own[0]), own[1], near_copy(own[2]), own[3], picture(9)]
    splits = ("train", "train", "val", "val", "train", "train")
    write_subject(tmp_path, "ben", list(enumerate(splits)), copies)
    write_subject(tmp_path, "cleo", [(0, "val"), (1, "train")], [own[0], picture(10)])
    write_table_of(tmp_path / "anna/trials.csv", [*shown, (1, "train")])
    with pytest.raises(PipelineError) as error:
        join(tmp_path, "anna", "ben", "cleo")
    assert error.value.code == "missing-data" and "anna" in error.value.where
    write_subject(tmp_path, "anna", [*shown, (4, "train")], [*own, picture(11)])
    out = join(tmp_path, "anna", "ben", "cleo")
    found = {name: read_trials(out / f"trials/{name}.csv")["split"] for name in ("anna", "ben")}
    assert found["anna"].tolist() == ["val", "unused", "test", "unused", "train"]
    assert found["ben"].tolist() == ["unused", "unused", "val", "unused", "train", "train"]
    assert read_trials(out / "trials/cleo.csv")["split"].tolist() == ["val", "train"]


def test_images_have_one_number_and_the_name_of_their_set(planted: Path) -> None:
    out = join(planted, "anna", "ben", nsd=("subj01", "subj02"))
    store = PixelStore(out / "images/stimuli")
    assert len(store) == 4 + 5 + 3
    own = {"anna": 4, "ben": 9}
    for subject, first in own.items():
        table, before = (
            read_trials(path)
            for path in (out / f"trials/{subject}.csv", planted / subject / "trials.csv")
        )
        expected = PixelStore(planted / subject / "stimuli").pixels(before["nsd_id"].to_numpy())
        np.testing.assert_array_equal(store.pixels(table["nsd_id"].to_numpy()), expected)
        others = table["nsd_id"] - before["nsd_id"] - first
        assert set(others[others != 0].index) <= {0, 1, 2}, "only equals of NSD's"
    numbers = read_trials(out / "trials/ben.csv")["nsd_id"].tolist()
    assert numbers == [3, 10, 11], "NSD's picture 3 keeps its number"
    assert read_trials(out / "trials/anna.csv")["nsd_id"].tolist() == [4, 0, 0, 6, 7, 8]
    names = pd.read_csv(out / "images/names.csv").set_index("nsd_id")["image"]
    assert names[3] == "nsd/00003" and names[8] == "lab/anna/4.png" and names[10] == "lab/ben/1.png"
    shared = pd.read_csv(out / "images/shared.csv").set_index("image")
    assert len(shared) == 4
    assert shared.loc["lab/anna/1.png", ["same_as", "is_equal", "split_there"]].tolist() == [
        "nsd/00000",
        1,
        "test",
    ]
    assert shared.loc["lab/anna/2.png", "is_equal"] == 0


def test_a_joined_folder_may_be_moved(
    planted: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    join(planted, "anna", "ben", nsd=("subj01", "subj02"))
    moved = tmp_path_factory.mktemp("moved") / "results"
    planted.rename(moved)
    assert len(PixelStore(moved / "cohort/images/stimuli")) == 12
    assert not any(path.is_absolute() for path in links(moved / "cohort/images/stimuli"))


def test_a_folder_of_results_tells_whose_images_a_subject_saw(tmp_path: Path) -> None:
    results = tmp_path / "results"
    (results / "ben/images/stimuli").mkdir(parents=True)
    joined = results / "group/cohort/trials/anna.csv"
    joined.parent.mkdir(parents=True)
    joined.touch()
    assert trials_of(results, "anna") == joined
    assert stimuli_of(results, "anna") == results / "group/cohort/images/stimuli"
    assert trials_of(results, "ben") == results / "ben/design/trials.csv"
    assert stimuli_of(results, "ben") == results / "ben/images/stimuli"
    assert stimuli_of(results, "subj01") == results / "group/images/stimuli"


def test_a_run_tells_whose_images_its_subject_saw(tmp_path: Path) -> None:
    """A table left from a former cohort says nothing; nor does a run of other images."""
    results = tmp_path / "results"
    left = results / "group/cohort/trials/anna.csv"
    left.parent.mkdir(parents=True)
    left.touch()
    for place, (run, stimuli) in enumerate(
        (("1h", "group/cohort"), ("40h", "anna"), ("nsdsynthetic", "group/nsdsynthetic"))
    ):
        path = results / "anna" / f"recon_{run}" / "provenance.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"stimuli": f"{stimuli}/images/stimuli"}))
        os.utime(path, (place, place))
    assert stimuli_of(results, "anna") == results / "anna/images/stimuli"
    assert trials_of(results, "anna") == results / "anna/design/trials.csv"
    os.utime(results / "anna/recon_1h/provenance.json", (9, 9))
    assert stimuli_of(results, "anna") == results / "group/cohort/images/stimuli"
    assert trials_of(results, "anna") == left
    (results / "anna/recon_1h/provenance.json").write_text("{")
    with pytest.raises(PipelineError) as error:
        stimuli_of(results, "anna")
    assert "recon_1h" in error.value.where


def test_a_member_who_left_has_no_joined_table(planted: Path) -> None:
    out = join(planted, "anna", "ben", nsd=("subj01",))
    join(planted, "ben", nsd=("subj01",))
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["ben.csv", "subj01.csv"]


def links(folder: Path) -> list[Path]:
    return [path.readlink() for path in folder.glob("*.npy")]


def test_joining_again_gives_the_same_bytes(planted: Path) -> None:
    def content() -> dict[str, bytes]:
        out = join(planted, "anna", "ben", nsd=("subj01", "subj02"))
        return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.*") if p.is_file()}

    assert content() == content()


def test_twins_within_a_set_stay_what_its_table_says(tmp_path: Path) -> None:
    """Miyawaki's test figures all train, too: that is the data set's own choice."""
    twin = picture(1)
    write_subject(tmp_path, "anna", [(0, "train"), (1, "test")], [twin, twin])
    write_subject(tmp_path, "ben", [(0, "train"), (1, "test")], [picture(2), picture(3)])
    out = join(tmp_path, "anna", "ben")
    assert read_trials(out / "trials/anna.csv")["split"].tolist() == ["train", "test"]
    assert read_trials(out / "trials/anna.csv")["nsd_id"].tolist() == [0, 1]


def test_a_subject_without_a_training_picture_left_is_refused(tmp_path: Path) -> None:
    write_subject(tmp_path, "anna", [(0, "test"), (1, "train")], [picture(1), picture(2)])
    write_subject(tmp_path, "ben", [(0, "train"), (1, "test")], [near_copy(picture(1)), picture(3)])
    with pytest.raises(PipelineError) as error:
        join(tmp_path, "anna", "ben")
    assert error.value.code == "missing-data" and "ben" in str(error.value)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    write_subject(tmp_path, "anna", [(0, "test"), (1, "train")], [picture(1), picture(2)])
    small = [picture(k)[:32, :32] for k in (3, 4)]
    write_subject(tmp_path, "ben", [(0, "train"), (1, "test")], small)
    with pytest.raises(PipelineError) as error:
        join(tmp_path, "anna", "ben")
    assert error.value.code == "inconsistent-inputs" and "32" in error.value.found


def pictures(images: list[NDArray[np.uint8]]) -> Pictures:
    hashes, small = zip(*map(describe, images), strict=True)
    return Pictures(np.array(hashes), np.stack(small))


def test_hashes_know_copies_and_tell_other_pictures_apart() -> None:
    images = [picture(k) for k in range(150)]
    copies = [near_copy(image) for image in images]
    found = near_pairs(pictures(images), pictures(copies), MOST_BITS)
    assert [pair[:2] for pair in found] == [(k, k) for k in range(len(images))]


@pytest.mark.parametrize("change", ["crop", "mirror"])
def test_other_crops_and_mirrored_pictures_are_not_found(change: str) -> None:
    """The limit that the documentation states."""
    images = [picture(k) for k in range(20)]
    cut = slice(SIDE // 8, -SIDE // 8)
    changed = [im[:, ::-1] if change == "mirror" else im[cut, cut] for im in images]
    whole = [np.asarray(Image.fromarray(im).resize((SIDE, SIDE))) for im in changed]
    assert not near_pairs(pictures(images), pictures(whole), MOST_BITS)


def test_hash_equals_a_transform_in_plain_loops() -> None:
    pixels = picture(5)
    small = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BOX), dtype=float)
    grey = small @ [0.299, 0.587, 0.114]
    x = np.arange(32)
    low = []
    for v in range(8):
        for u in range(8):
            waves = np.outer(np.cos(np.pi * (x + 0.5) * v / 32), np.cos(np.pi * (x + 0.5) * u / 32))
            scale = (1 if v else 0.5**0.5) * (1 if u else 0.5**0.5) / 16
            low.append(scale * (grey * waves).sum())
    signs = np.array(low[1:]) > np.median(low[1:])
    expected = sum(1 << (62 - k) for k, sign in enumerate(signs) if sign)
    assert int(describe(pixels)[0]) == expected


def test_plain_pictures_are_equal_only_byte_by_byte(tmp_path: Path) -> None:
    grey = [np.full((SIDE, SIDE, 3), level, dtype=np.uint8) for level in (90, 120)]
    write_subject(tmp_path, "anna", [(0, "test"), (1, "train")], [grey[0], picture(2)])
    shown = [(0, "train"), (1, "train"), (2, "test")]
    write_subject(tmp_path, "ben", shown, [grey[0], grey[1], picture(4)])
    out = join(tmp_path, "anna", "ben")
    assert read_trials(out / "trials/ben.csv")["split"].tolist() == ["unused", "train", "test"]


def test_joined_images_stay_private_where_one_set_is(tmp_path: Path) -> None:
    for name, terms in (("open", {}), ("own", {"private": True})):
        write_rows(tmp_path / name, iter([picture(len(name))]), 5, {"side": SIDE, **terms})
    for parts in (("open", "own"), ("own", "open")):
        join_shards(tmp_path / "joined", [tmp_path / part for part in parts])
        store = PixelStore(tmp_path / "joined")
        assert not store.may_be_shown
        assert len(np.unique(store.shown(np.arange(2)))) == 1
