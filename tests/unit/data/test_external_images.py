"""External images that a cohort tests or validates with do not train, nor do near copies."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray, link_without, write_rows
from brainit.data.external_images import ScreenFiles, screen_external
from brainit.data.pixels import PixelStore

from .test_cohort import MOST_BITS, SIDE, join, near_copy, picture, write_subject, write_table_of

N_EXTERNAL = 20


def make_cohort(root: Path) -> Path:
    """Join two sets: NSD tests picture 0 and trains with 1; anna tests 2, validates 3, trains 4."""
    write_rows(root / "nsd/stimuli", iter([picture(0), picture(1)]), 5, {"side": SIDE})
    write_table_of(root / "subj01/trials.csv", [(0, "test"), (1, "train")])
    shown = [(0, "test"), (1, "val"), (2, "train"), (3, "test")]
    plain = np.full((SIDE, SIDE, 3), 90, np.uint8)
    write_subject(root, "anna", shown, [picture(2), picture(3), picture(4), plain])
    return join(root, "anna", nsd=("subj01",))


def external_images() -> list[np.ndarray]:
    """Return new pictures, and planted ones at 3 (equal), 4, 8 (near), 9 (validated), 10 (plain).

    6 and 7 are pictures that train in the cohort.
    """
    images = [picture(1000 + k) for k in range(N_EXTERNAL)]
    images[3], images[4], images[8] = picture(0), near_copy(picture(0)), near_copy(picture(2))
    images[9], images[10] = near_copy(picture(3)), np.full((SIDE, SIDE, 3), 90, np.uint8)
    images[6], images[7] = picture(1), near_copy(picture(4))
    return images


def screen(root: Path, cohort: Path) -> ScreenFiles:
    files = ScreenFiles(
        external=root / "external",
        stimuli=cohort / "images/stimuli",
        names=cohort / "images/names.csv",
        trials={name: cohort / f"trials/{name}.csv" for name in ("subj01", "anna")},
        screened=cohort / "images/external",
        left_out=cohort / "images/left_out.csv",
    )
    screen_external(files, MOST_BITS)
    return files


def test_planted_test_pictures_and_near_copies_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cohort, images = make_cohort(tmp_path), external_images()
    write_rows(tmp_path / "external", iter(images), 3, {"side": SIDE})
    files = screen(tmp_path, cohort)
    table = pd.read_csv(files.left_out).set_index("external")
    assert table.index.tolist() == [3, 4, 8, 9, 10]
    assert table["same_as"].tolist() == ["nsd/00000", "nsd/00000"] + [
        f"lab/anna/{k}.png" for k in (0, 1, 3)
    ]
    assert table["split"].tolist() == ["test", "test", "test", "val", "test"]
    assert table["is_equal"].tolist() == [1, 0, 0, 0, 1]
    assert table.loc[3, "bits"] == 0 and (table["correlation"] >= 0.95).all()
    kept = PixelStore(files.screened)
    rest = [image for k, image in enumerate(images) if k not in table.index]
    assert np.array_equal(kept.pixels(np.arange(len(kept))), np.stack(rest))
    index = json.loads((files.screened / "shards.json").read_text())
    assert index["attributes"] == {"side": SIDE, "left_out": [3, 4, 8, 9, 10]}
    assert "5 of 20 external images left out" in caplog.text and "3, 4, 8, 9, 10" in caplog.text


def test_images_that_none_tests_stay_as_they_are(tmp_path: Path) -> None:
    """All shards are links, row by row the same."""
    cohort, images = make_cohort(tmp_path), [picture(1000 + k) for k in range(7)]
    write_rows(tmp_path / "external", iter(images), 3, {"side": SIDE})
    files = screen(tmp_path, cohort)
    assert pd.read_csv(files.left_out).empty
    shards = sorted(files.screened.glob("*.npy"))
    assert len(shards) == 3 and all(shard.is_symlink() for shard in shards)
    kept = PixelStore(files.screened)
    assert np.array_equal(kept.pixels(np.arange(len(kept))), np.stack(images))


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path)
    write_rows(tmp_path / "external", iter([picture(0)]), 3, {"side": SIDE})
    with pytest.raises(PipelineError) as error:
        screen(tmp_path, cohort)
    assert error.value.code == "missing-data" and "synthesis.enabled" in error.value.fix


@pytest.mark.parametrize("left_out", [[], [0], [4], [3, 4, 5], [0, 1, 2, 3, 9], range(9)])
def test_links_without_rows_equal_plain_rows(tmp_path: Path, left_out: list[int]) -> None:
    """Only shards that lose some of their rows are files of their own; the source stays."""
    values = np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2)
    write_rows(tmp_path / "all", iter(values), 3, {"side": 2})
    link_without(tmp_path / "some", tmp_path / "all", [5])
    link_without(tmp_path / "some", tmp_path / "all", left_out)
    read, rest = ShardedArray(tmp_path / "some"), np.delete(values, list(left_out), axis=0)
    assert len(read) == len(rest) and np.array_equal(read.rows(np.arange(len(rest))), rest)
    shards = [range(3), range(3, 6), range(6, 9), range(9, 10)]
    whole = [not set(shard) & set(left_out) for shard in shards if not set(shard) <= set(left_out)]
    names = [f"shard_{k:03d}.npy" for k in range(len(whole))]
    assert [os.path.islink(tmp_path / "some" / name) for name in names] == whole
    assert np.array_equal(ShardedArray(tmp_path / "all").rows(np.arange(10)), values)
