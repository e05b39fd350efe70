"""Import a subject of Generic Object Decoding (Horikawa & Kamitani 2017), a bdpy file.

HDF5: `dataset` (samples, columns) and `metadata/{key,value}` (older files: `dataSet`, `metaData`);
`value` (keys, columns) is 1 where a column belongs to a key. The import uses the voxels of
`ROI_VC`, `DataType` (1 training, 2 perception test, 3 imagery), `Run`, and the image as
`stimulus_id` or `Label`: synset.image, so that 1443537.022563 is n01443537_22563.

The file names no sessions: training runs become session 1, test runs session 2; imagery is dropped.
The stimulus images are not published with the data; the authors share them on request.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, require_stored
from brainit.core.reading import reading
from brainit.data.lab.layout import POSITION_COLUMNS, write_subject
from brainit.data.lab.search import find_images

VISUAL_CORTEX = "ROI_VC"
_IMAGE_KEYS = ("stimulus_id", "Label")
_TRAINING, _PERCEPTION_TEST = 1, 2
_NAMES = (("dataset", "metadata"), ("dataSet", "metaData"))
"""Names of the samples and of their description, in newer and in older files."""
_FIX = "download SubjectN.h5 of Generic Object Decoding again"


@dataclass(frozen=True)
class BrainDecoderData:
    """Samples (samples, columns), keys, and values (keys, columns), NaN where a key has none."""

    path: Path
    samples: NDArray[np.float64]
    keys: list[str]
    values: NDArray[np.float64]

    def columns(self, key: str) -> NDArray[np.bool_]:
        """Mark the columns of a key; raises `PipelineError` where it has none."""
        is_chosen = self.value(key) == 1
        if not is_chosen.any():
            raise PipelineError(
                self.path, f"columns of key {key}", "none", _FIX, code="missing-data"
            )
        return is_chosen

    def value(self, key: str) -> NDArray[np.float64]:
        """Return a key's value of each column; raises `PipelineError` for an unknown key."""
        if key not in self.keys:
            raise PipelineError(self.path, f"key {key}", f"{self.keys}", _FIX, code="missing-data")
        return self.values[self.keys.index(key)]

    def select(self, key: str) -> NDArray[np.float64]:
        """Return the one column of a key."""
        return self.samples[:, self.columns(key)][:, 0]


def read_brain_decoder_data(path: Path) -> BrainDecoderData:
    """Read a bdpy file; raises `PipelineError` for another kind of file or unequal columns."""
    expected = "HDF5 of bdpy with dataset and metadata/{key,value}"
    with (
        reading(path, expected, _FIX, *HDF5_ERRORS, AttributeError),
        open_hdf5(path) as handle,
    ):
        names = next((pair for pair in _NAMES if pair[0] in handle), None)
        if names is None:
            raise PipelineError(path, expected, f"{sorted(handle)}", _FIX, code="wrong-kind")
        for dataset in (handle[names[0]], handle[names[1]]["value"]):
            require_stored(path, dataset, _FIX)
        samples = np.asarray(handle[names[0]], dtype=np.float64)
        keys = [_text(key) for key in handle[names[1]]["key"][()].ravel()]
        values = np.asarray(handle[names[1]]["value"], dtype=np.float64)
    if samples.ndim != 2 or values.shape != (len(keys), samples.shape[1]):
        found = f"dataset {samples.shape}, {len(keys)} keys, value {values.shape}"
        raise PipelineError(
            path, "value of axes (keys, columns of dataset)", found, _FIX, code="wrong-shape"
        )
    return BrainDecoderData(path, samples, keys, values)


def import_god(source: Path, images: Path, folder: Path) -> None:
    """Write the subject of the file `source`, with its images from anywhere below `images`.

    Raises `PipelineError` for another kind of file, missing keys or missing images.
    """
    brain = read_brain_decoder_data(source)
    kind = brain.select("DataType")
    chosen = np.flatnonzero((kind == _TRAINING) | (kind == _PERCEPTION_TEST))
    is_test = kind[chosen] == _PERCEPTION_TEST
    key = next((key for key in _IMAGE_KEYS if key in brain.keys), _IMAGE_KEYS[0])
    names = [image_name(number) for number in brain.select(key)[chosen]]
    fix = "ask the authors for the stimulus images and pass their folder as --images"
    files = find_images(images, sorted(set(names)), fix)
    in_cortex = brain.columns(VISUAL_CORTEX)
    trials = pd.DataFrame(
        {
            "trial": np.arange(len(chosen)),
            "session": np.where(is_test, 2, 1),
            "run": brain.select("Run")[chosen].astype(np.int64),
            "image": names,
            "split": np.where(is_test, "test", "train"),
        }
    )
    betas = brain.samples[chosen][:, in_cortex]
    write_subject(folder, betas, trials, files, _positions(brain, in_cortex))


def image_name(number: float) -> str:
    """Return ImageNet's file name of an image id; the point separates synset and image number."""
    synset, image = divmod(round(number * 1e6), 1_000_000)
    return f"n{synset:08d}_{image}.JPEG"


def _positions(brain: BrainDecoderData, chosen: NDArray[np.bool_]) -> pd.DataFrame | None:
    """Return the voxels' coordinates in mm, None for a file without them."""
    keys = [f"voxel_{axis}" for axis in "xyz"]
    if not set(keys) <= set(brain.keys):
        return None
    position_mm = {
        column: brain.value(key)[chosen] for column, key in zip(POSITION_COLUMNS, keys, strict=True)
    }
    return pd.DataFrame(position_mm)


def _text(key: Any) -> str:
    return key.decode("utf-8") if isinstance(key, bytes) else str(key)
