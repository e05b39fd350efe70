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
    assert len(external) == 2


def test_too_few_external_images(tiny_nsd: Any) -> None:
    settings = ImageSettings(stored_size=8, n_external=9)
    with pytest.raises(PipelineError, match="9 images"):
        list(external_rows(tiny_nsd.zip_path, settings))


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
    with pytest.raises(PipelineError, match="unlabeled2017/<name>.jpg"):
        list(external_rows(tmp_path / "a.zip", ImageSettings()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("1", "2", "2"):
            archive.writestr(f"unlabeled2017/{name}.jpg", b"")
    with pytest.raises(PipelineError, match=r"each image once, found unlabeled2017/2.jpg 2 times"):
        list(external_rows(tmp_path / "a.zip", ImageSettings()))


def test_broken_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("unlabeled2017/1.jpg", buffer.getvalue()[:600])
    with pytest.raises(PipelineError, match=r"a.zip:unlabeled2017/1.jpg: expected a readable"):
        list(external_rows(tmp_path / "a.zip", ImageSettings()))


def test_store_refuses_other_rows(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", iter([np.zeros((2, 4, 5, 3), dtype=np.uint8)]))
    with pytest.raises(PipelineError, match="side, side, 3"):
        ImageStore(tmp_path / "a")
    write_shards(tmp_path / "b", iter([np.zeros((2, 4, 4, 3), dtype=np.uint8)]))
    with pytest.raises(PipelineError, match=r"row numbers 0\.\.1"):
        ImageStore(tmp_path / "b").images(np.array([2]))


def test_rounding_to_uint8() -> None:
    values = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 7.0])
    image = values.reshape(1, 1, 1, 7).expand(1, 3, 1, 7)
    assert to_uint8(image)[0, 0, :, 1].tolist() == [0, 0, 0, 1, 254, 255, 255]
