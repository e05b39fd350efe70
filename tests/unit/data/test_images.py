"""Stored images against the sources they come from."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings
from brainit.core.shards import write_shards
from brainit.data.image_files import external_rows, prepare_images, square
from brainit.data.images import ImageStore, to_uint8


def stores(tree: Any, out: Path, **changes: Any) -> tuple[ImageStore, ImageStore]:
    settings = ImageSettings(**changes)
    prepare_images(tree.stimuli_path, tree.zip_path, settings, out / "stimuli", out / "external")
    return ImageStore(out / "stimuli"), ImageStore(out / "external")


def test_stimuli_of_the_stored_size_are_untouched(tiny_nsd: Any, tmp_path: Path) -> None:
    stimuli, _ = stores(tiny_nsd, tmp_path, stored_size=12, rows_per_shard=5)
    index = np.array([30, 0, 7, 7])
    assert len(stimuli) == tiny_nsd.n_images and stimuli.image_size == 12
    assert np.array_equal(stimuli.pixels(index), tiny_nsd.stimuli[index])
    images = stimuli.images(index)
    assert images.dtype == torch.float32
    for row, number in enumerate(index):
        for channel in range(3):
            expected = tiny_nsd.stimuli[number, :, :, channel] / 255
            np.testing.assert_allclose(images[row, channel], expected, atol=1e-6)


def test_external_images_in_order_of_names(tiny_nsd: Any, tmp_path: Path) -> None:
    _, external = stores(tiny_nsd, tmp_path, stored_size=8, rows_per_shard=3)
    centre = external.pixels(np.arange(4))[:, 4, 4, 0].astype(int)
    # Members 1, 3, 5, 8 are grey 20 n, 50 brighter in the square that the crop keeps.
    assert np.abs(centre - (np.array([1, 3, 5, 8]) * 20 + 50)).max() <= 3
    assert external.pixels(np.array([0])).std() < 4


def test_first_external_images(tiny_nsd: Any, tmp_path: Path) -> None:
    _, external = stores(tiny_nsd, tmp_path, stored_size=8, n_external=2)
    expected = []
    with zipfile.ZipFile(tiny_nsd.zip_path) as archive:
        for number in (1, 3):  # the archive lists 5, 3, 8, 1: first are the smallest names
            with archive.open(f"unlabeled2017/{number:012d}.jpg") as handle:
                image = Image.open(handle).crop((5, 0, 25, 20))  # centre of 30 x 20 pixels
                expected.append(np.asarray(image.resize((8, 8), Image.Resampling.BICUBIC)))
    assert len(external) == 2
    inside = (slice(None), slice(None), slice(2, -2))  # a bicubic filter looks beyond the crop
    assert np.array_equal(external.pixels(np.arange(2))[inside], np.stack(expected)[inside])
    assert np.abs(np.stack(expected)[inside].mean((1, 2, 3)) - [70, 110]).max() < 3


def test_too_few_external_images(tiny_nsd: Any) -> None:
    settings = ImageSettings(stored_size=8, n_external=9)
    with pytest.raises(PipelineError) as error:
        list(external_rows(tiny_nsd.zip_path, settings))
    assert (error.value.code, error.value.found) == ("missing-data", "4")
    assert "9 images" in error.value.expected and "images.n_external" in error.value.fix


@pytest.mark.parametrize("size", [(40, 24), (24, 40)])
def test_centre_square(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    found = square(Image.fromarray(pixels), 24)
    left, top = (size[0] - 24) // 2, (size[1] - 24) // 2
    assert np.array_equal(found, pixels[top : top + 24, left : left + 24])


def test_resizing_keeps_the_mean() -> None:
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[::2] = 200  # stripes alias to 0 or 200 without an antialiasing filter
    found = square(Image.fromarray(pixels), 8)
    assert np.abs(found[1:-1].astype(int) - 100).max() <= 12


@pytest.mark.parametrize(
    "name",
    [
        "../unlabeled2017/1.jpg",
        "unlabeled2017/a/1.jpg",
        "/unlabeled2017/1.jpg",
        "1.jpg",
        "unlabeled2017/1.exe",
    ],
)
def test_members_of_unexpected_names(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"")
    with pytest.raises(PipelineError) as error:
        list(external_rows(tmp_path / "a.zip", ImageSettings()))
    assert error.value.code == "wrong-kind" and repr(name) in error.value.found


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("1", "2", "2"):
            archive.writestr(f"unlabeled2017/{name}.jpg", b"")
    with pytest.raises(PipelineError) as error:
        list(external_rows(tmp_path / "a.zip", ImageSettings()))
    assert error.value.code == "duplicate-data"
    assert error.value.found == "unlabeled2017/2.jpg 2 times"


def test_broken_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("unlabeled2017/1.jpg", buffer.getvalue()[:600])
    with pytest.raises(PipelineError) as error:
        list(external_rows(tmp_path / "a.zip", ImageSettings()))
    assert error.value.code == "damaged-file"
    assert error.value.where == f"{tmp_path}/a.zip:unlabeled2017/1.jpg"


def test_store_refuses_other_rows(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", iter([np.zeros((2, 4, 5, 3), dtype=np.uint8)]))
    with pytest.raises(PipelineError) as error:
        ImageStore(tmp_path / "a")
    assert error.value.code == "wrong-kind" and "(4, 5, 3)" in error.value.found
    write_shards(tmp_path / "b", iter([np.zeros((2, 4, 4, 3), dtype=np.uint8)]))
    with pytest.raises(PipelineError) as error:
        ImageStore(tmp_path / "b").images(np.array([2]))
    assert "0..1" in error.value.expected and "2" in error.value.found


def test_rounding_to_uint8() -> None:
    values = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 7.0])
    image = values.reshape(1, 1, 1, 7).expand(1, 3, 1, 7)
    assert to_uint8(image)[0, 0, :, 1].tolist() == [0, 0, 0, 1, 254, 255, 255]
