"""Features of the true images, computed once for all scores of the same images.

All runs of a subject are scored on the same test images. What a score needs of them alone (their
features by each metric network and, in a simulation, those of other objects at the same place) is
kept in a file; a score of other images computes its own.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.artifacts import Artifact, read_artifact, write_artifact
from brainit.core.device import run_device
from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.images import ImageStore
from brainit.data.trials import read_trials
from brainit.evaluation.metrics.distractors import same_place_features
from brainit.evaluation.metrics.features import load_metric_networks, tap_features
from brainit.evaluation.metrics.names import SAME_PLACE
from brainit.evaluation.metrics.presence import ReadsContents
from brainit.evaluation.truth import scenes_of
from brainit.features.lpips import Lpips
from brainit.simulation.scenes import Scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrueFeatures:
    """Features of the images `nsd_id` in their order: by network and tap, as networks give them.

    `same_place` are, by the first network that reads contents, `same_place_features`; None without
    such a network. They need the scenes of a simulation: `has_scenes`.
    """

    nsd_id: NDArray[np.int64]
    taps: Mapping[str, Mapping[str, Float[Tensor, "images _features"]]]
    same_place: Float[Tensor, "images shown features"] | None = None
    has_scenes: bool = False

    def write(self, path: Path, settings: Settings) -> None:
        """Write the features, whole or not at all."""
        tensors = {
            f"{network}/{tap}": features.numpy()
            for network, by_tap in self.taps.items()
            for tap, features in by_tap.items()
        }
        if self.same_place is not None:
            tensors[SAME_PLACE] = self.same_place.numpy()
        write_artifact(
            path,
            "true_features",
            {"nsd_id": self.nsd_id, **tensors},
            {**_made_with(settings), "has_scenes": self.has_scenes},
        )

    @classmethod
    def of(cls, artifact: Artifact) -> "TrueFeatures":
        """Return the features in a file that was read."""
        taps: dict[str, dict[str, Tensor]] = {}
        for name, array in artifact.tensors.items():
            network, is_tap, tap = name.partition("/")
            if is_tap:
                taps.setdefault(network, {})[tap] = torch.from_numpy(array)
        same_place = artifact.tensors.get(SAME_PLACE)
        return cls(
            artifact["nsd_id"],
            taps,
            None if same_place is None else torch.from_numpy(same_place),
            bool(artifact.attributes["has_scenes"]),
        )


def _made_with(settings: Settings) -> dict[str, Any]:
    """Return the settings that the features depend on, as a file says them."""
    options = settings.evaluation
    return {
        "networks": list(settings.features.metrics),
        "eval_size": options.eval_size,
        "n_same_place": options.n_same_place,
        "seed": settings.run.seed,
    }


def true_features(
    nsd_id: NDArray[np.int64],
    targets: Float[Tensor, "images 3 side side"],
    networks: Mapping[str, nn.Module],
    scenes: Sequence[Scene] | None,
    settings: Settings,
) -> TrueFeatures:
    """Return the features of images in [0, 1] that `score_images` needs; see `TrueFeatures`.

    `scenes` are those of a simulation. LPIPS has no features of an image alone.
    """
    size, device = settings.evaluation.eval_size, run_device(settings)
    taps: dict[str, dict[str, Tensor]] = {}
    same_place: Tensor | None = None
    for name, network in networks.items():
        if isinstance(network, Lpips):
            continue
        taps[name] = tap_features(network, targets, size, device)
        if scenes is not None and same_place is None and isinstance(network, ReadsContents):
            same_place = same_place_features(
                scenes,
                network,
                settings.evaluation.n_same_place,
                (targets.shape[-1], size),
                device,
                numpy_generator(settings.run.seed, SAME_PLACE),
            )
    return TrueFeatures(nsd_id, taps, same_place, scenes is not None)


def known_features(
    path: Path | None, nsd_id: NDArray[np.int64], has_scenes: bool, settings: Settings
) -> TrueFeatures | None:
    """Return the features in the file where they are those of a score, else None.

    That is where they are of the images `nsd_id`, by the same settings and, if it needs them, of
    scenes. Raises `PipelineError` for any other file.
    """
    if path is None:
        return None
    artifact = read_artifact(path, "true_features")
    made_with = {key: artifact.attributes[key] for key in _made_with(settings)}
    is_same = made_with == _made_with(settings) and np.array_equal(artifact["nsd_id"], nsd_id)
    known = TrueFeatures.of(artifact)
    if is_same and known.has_scenes >= has_scenes:
        return known
    logger.info("%s: of other images or settings, so features are computed here", path)
    return None


def write_true_features(
    trials: Path,
    stimuli: Path,
    weights_dir: Path | None,
    truth: Path | None,
    out: Path,
    settings: Settings,
) -> None:
    """Write the features of a subject's test images, those that its runs reconstruct.

    `truth` is the folder of a simulation's truth, whose scenes the images show, else None.
    """
    table = read_trials(trials)
    shown = np.unique(table["nsd_id"][table["split"] == "test"].to_numpy(dtype=np.int64))
    nsd_id = shown[: settings.recon.max_images]
    targets = ImageStore(stimuli).images(nsd_id)
    networks = load_metric_networks(settings.features.metrics, weights_dir, run_device(settings))
    scenes = None if truth is None else scenes_of(truth, nsd_id.tolist())
    true_features(nsd_id, targets, networks, scenes, settings).write(out, settings)
