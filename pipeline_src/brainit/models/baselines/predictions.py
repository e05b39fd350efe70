"""The file of predicted features: one row for each test image of a subject.

A shards folder, float16 as the token cache; its attributes name subject, kind ("lowlevel" or
"semantic"), network and the `nsd_id` of the rows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray, shard_ranges, write_shards

_FIX = "delete the folder and rerun predict_ridge"
_ROWS_PER_SHARD = 256
_ATTRIBUTES = ("subject", "kind", "network", "nsd_id", "sha256")


@dataclass(frozen=True)
class Predictions:
    """Predicted features `values` (images, ...) of the test images `nsd_id`."""

    nsd_id: NDArray[np.int64]
    values: NDArray[np.floating[Any]]
    attributes: Mapping[str, Any]


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write predicted features; the attributes get their checksum."""
    with np.errstate(over="ignore"):  # beyond float16 is infinite
        values = predictions.values.astype(np.float16)
    if not np.isfinite(values).all():
        expected, found = "predictions within float16", "NaN, infinity or larger numbers"
        raise PipelineError(folder, expected, found, _FIX, code="bad-values")
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    known = {"nsd_id": predictions.nsd_id.tolist(), "sha256": digest}
    blocks = (values[start:stop] for start, stop in shard_ranges(len(values), _ROWS_PER_SHARD))
    write_shards(folder, blocks, {**predictions.attributes, **known})


class StoredPredictions:
    """Predicted features of a subject's test images, read by `nsd_id`.

    `network` says which features they are: a network's, or "pixels". Raises `PipelineError` where
    the folder holds those of another subject or kind, or something else.
    """

    def __init__(self, folder: Path, subject: str, kind: str) -> None:
        self.folder, self._rows = folder, ShardedArray(folder)
        attributes = self._rows.attributes
        missing = [name for name in _ATTRIBUTES if name not in attributes]
        if missing or len(attributes["nsd_id"]) != len(self._rows):
            expected = f"predicted features with attributes {_ATTRIBUTES}, an nsd_id for each row"
            found = f"no {missing}" if missing else f"{len(self._rows)} rows"
            raise PipelineError(folder, expected, found, _FIX, code="wrong-kind")
        made = tuple(attributes[name] for name in ("kind", "subject"))
        if made != (kind, subject):
            raise PipelineError(
                folder,
                f"predicted {kind} features of {subject}",
                f"{made[0]} features of {made[1]}",
                "pass the folder that predict_ridge wrote for this subject and kind",
                code="wrong-kind",
            )
        self.network = str(attributes["network"])
        self.nsd_id = np.array(attributes["nsd_id"], dtype=np.int64)

    @property
    def model(self) -> dict[str, str]:
        """Folder and SHA-256 of the values, as a run's provenance records a model."""
        return {"file": str(self.folder), "sha256": str(self._rows.attributes["sha256"])}

    def of(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of `images`, in their order; all must be among `nsd_id`."""
        row = {int(nsd_id): number for number, nsd_id in enumerate(self.nsd_id)}
        return self._rows.rows(np.array([row[int(i)] for i in images])).astype(np.float32)
