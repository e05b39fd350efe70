"""Score one run on all metrics: a table per image, and means with intervals and chance levels.

Metrics of paper section 5.2. Differs from the paper: intervals, chance levels, `unit_distance` and
identification among similar images are our additions, and so are, in a simulation, identification
at the same place and presence of objects, which read the true scenes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges
from brainit.core.streams import numpy_generator
from brainit.data.images import ImageStore
from brainit.data.recons import KINDS, Recons, read_recons
from brainit.evaluation.metrics.distractors import (
    identification_among,
    permuted_identification_among,
    same_place_scores,
    similar_images,
)
from brainit.evaluation.metrics.features import (
    correlation_distances,
    cosine_similarities,
    load_metric_networks,
    pair_distances,
    retrieval_scores,
    tap_features,
    unit_distance_of_others,
    unit_distances,
)
from brainit.evaluation.metrics.names import (
    LPIPS_NAME,
    OBJECT_AUC,
    SAME_PLACE,
    SUMMARY_COLUMNS,
    direction_of,
    metric_name,
    similar_name,
)
from brainit.evaluation.metrics.pixels import (
    PixCorrOfOthers,
    pixel_correlations,
    structural_similarities,
    to_evaluation_size,
)
from brainit.evaluation.metrics.presence import (
    ReadsContents,
    object_area_per_image,
    shown_contents,
)
from brainit.evaluation.metrics.statistics import mean_interval
from brainit.evaluation.metrics.two_way import (
    correlation_matrix,
    mean_of_others,
    permutation_two_way,
    shuffled_pairing,
    two_way_scores,
)
from brainit.evaluation.true_features import TrueFeatures, known_features, true_features
from brainit.evaluation.truth import scenes_of
from brainit.features.lpips import Lpips
from brainit.simulation.scenes import Scene

logger = logging.getLogger(__name__)

_IMAGES_PER_BLOCK = 16


@dataclass(frozen=True)
class Chance:
    """Chance level of a mean score: its mean, 99.9th percentile and standard deviation.

    The score of reconstructions shuffled against images; NaN if unknown.
    """

    mean: float = float("nan")
    p999: float = float("nan")
    sd: float = float("nan")


@dataclass(frozen=True)
class Scores:
    """`per_image` has nsd_id and a column per metric; `chance` is by metric."""

    per_image: pd.DataFrame
    chance: dict[str, Chance]


def evaluate_run(
    recon: Path,
    kind: str,
    stimuli: Path,
    weights_dir: Path | None,
    settings: Settings,
    truth: Path | None = None,
    true: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the reconstructions of `kind` in a run's folder; return per-image and summary tables.

    `truth` is the folder of a simulation's truth, whose scenes the images show, else None; `true`
    the file of the true images' features, None computes them. Raises `PipelineError` if the kind is
    unknown, if the run has no images of it, if it has fewer than two images, and if an image has no
    scene.
    """
    if kind not in KINDS:
        fix = "give --kind lowlevel, --kind semantic or --kind fused"
        raise PipelineError("--kind", f"one of {KINDS}", repr(kind), fix, code="invalid-argument")
    recons = read_recons(recon)
    _require_images(recon, recons, kind)
    networks = load_metric_networks(settings.features.metrics, weights_dir, run_device(settings))
    scores = score_images(
        as_images(recons.images[kind]),
        ImageStore(stimuli).images(recons.nsd_id),
        networks,
        settings,
        None if truth is None else scenes_of(truth, recons.nsd_id.tolist()),
        known_features(true, recons.nsd_id, truth is not None, settings),
    )
    scores.per_image.insert(0, "nsd_id", recons.nsd_id)
    return scores.per_image, summarise(scores, settings)


def _require_images(folder: Path, recons: Recons, kind: str) -> None:
    if kind not in recons.images:
        found = f"only {', '.join(recons.images)} images"
        fix = (
            f"score one of these kinds; {kind} images need a generator: reconstruct the run whose"
            " folder does not end in _lowlevel"
        )
        raise PipelineError(folder, f"{kind} images", found, fix, code="missing-data")
    if (n_images := len(recons.nsd_id)) < 2:
        fix = "set recon.max_images to 2 or more, or to null for all test images"
        expected = "at least two images: identification compares each with the others"
        raise PipelineError(folder, expected, f"{n_images}", fix, code="missing-data")


def as_images(pixels: NDArray[np.uint8]) -> Float[Tensor, "images 3 height width"]:
    """Convert uint8 pixels (images, height, width, rgb) to float32 images in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float().div_(255.0)


def score_images(
    recons: Float[Tensor, "images 3 height width"],
    targets: Float[Tensor, "images 3 side side"],
    networks: Mapping[str, nn.Module],
    settings: Settings,
    scenes: Sequence[Scene] | None = None,
    known: TrueFeatures | None = None,
) -> Scores:
    """Score reconstructions against their targets on every metric; images in [0, 1].

    `scenes` are the true ones of a simulation: they add `same_place` and `object_auc`, by the first
    network that reads contents. `known` are the features of the targets; None computes them.
    """
    if known is None:
        known = true_features(np.arange(len(targets)), targets, networks, scenes, settings)
    columns, chance = _pixel_scores(recons, targets, settings)
    size, device = settings.evaluation.eval_size, run_device(settings)
    for name, network in networks.items():
        if isinstance(network, Lpips):
            order = numpy_generator(settings.run.seed, "shuffled_pairing")
            rivals = targets[torch.from_numpy(shuffled_pairing(len(recons), order))]
            columns[LPIPS_NAME] = pair_distances(network, recons, targets, size, device).numpy()
            shuffled = pair_distances(network, recons, rivals, size, device)
            chance[LPIPS_NAME] = Chance(float(shuffled.mean()))
            continue
        recon_taps, target_taps = tap_features(network, recons, size, device), known.taps[name]
        for tap in recon_taps:
            scores = score_features(name, tap, recon_taps[tap], target_taps[tap], settings)
            columns |= {str(c): scores.per_image[c].to_numpy() for c in scores.per_image}
            chance.update(scores.chance)
        last = list(recon_taps)[-1]
        pair = recon_taps[last], target_taps[last]
        name_of_last = similar_name(name, last)
        columns[name_of_last], chance[name_of_last] = _similar(*pair, targets, settings)
        if scenes is not None and SAME_PLACE not in columns and isinstance(network, ReadsContents):
            assert known.same_place is not None
            of_scenes = score_scenes(network, recon_taps[last], scenes, known.same_place, settings)
            columns |= {str(c): of_scenes.per_image[c].to_numpy() for c in of_scenes.per_image}
            chance.update(of_scenes.chance)
    return Scores(pd.DataFrame(columns), chance)


def _similar(
    recons: Float[Tensor, "images features"],
    target_features: Float[Tensor, "images features"],
    targets: Float[Tensor, "images 3 side side"],
    settings: Settings,
) -> tuple[NDArray[np.float64], Chance]:
    """Identify each image among those that look most like it, by features of the last tap."""
    options, seed = settings.evaluation, settings.run.seed
    distractors = similar_images(targets, options.similar_share)
    matrix = correlation_matrix(recons, target_features)
    scores = identification_among(recons, target_features, matrix, distractors).numpy()
    generator = numpy_generator(seed, "null", "similar")
    means = permuted_identification_among(matrix, distractors, options.n_permutations, generator)
    return scores, _chance_of(means)


def score_scenes(
    network: ReadsContents,
    recons: Float[Tensor, "images features"],
    scenes: Sequence[Scene],
    same_place: Float[Tensor, "images shown features"],
    settings: Settings,
) -> Scores:
    """Score features of the last tap against the true scenes: `same_place` and `object_auc`.

    `same_place` are `same_place_features` of the scenes.
    """
    with torch.inference_mode():
        outputs = network.content_outputs(recons.to(run_device(settings))).double().cpu().numpy()
    columns = {
        SAME_PLACE: same_place_scores(recons, same_place),
        OBJECT_AUC: object_area_per_image(outputs, shown_contents(scenes, network.contents)),
    }
    return Scores(pd.DataFrame(columns), {SAME_PLACE: Chance(50.0), OBJECT_AUC: Chance(0.5)})


def _pixel_scores(
    recons: Float[Tensor, "images 3 height width"],
    targets: Float[Tensor, "images 3 side side"],
    settings: Settings,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Chance]]:
    sizes = (settings.evaluation.eval_size, settings.evaluation.pixel_size)
    per_block: dict[str, list[Tensor]] = {"PixCorr": [], "SSIM": [], "SSIM_RGB": []}
    others = PixCorrOfOthers()
    blocks = shard_ranges(len(recons), _IMAGES_PER_BLOCK)
    for start, stop in progress(blocks, "pixel metrics", unit="block"):
        recon = to_evaluation_size(recons[start:stop], *sizes)
        target = to_evaluation_size(targets[start:stop], *sizes)
        per_block["PixCorr"].append(pixel_correlations(recon, target))
        per_block["SSIM"].append(structural_similarities(recon, target))
        per_block["SSIM_RGB"].append(structural_similarities(recon, target, in_colour=True))
        others.add(recon, target, per_block["PixCorr"][-1])
    columns = {name: torch.cat(values).numpy() for name, values in per_block.items()}
    return columns, {"PixCorr": Chance(others.mean())}


def score_features(
    network: str,
    tap: str,
    recons: Float[Tensor, "images features"],
    targets: Float[Tensor, "images features"],
    settings: Settings,
) -> Scores:
    """Score the features of one tap: two-way, distances and retrieval, each with its chance level.

    Retrieval is among `evaluation.retrieval_pool` images (MindEye2) and among all images (T6).
    """
    seed, options = settings.run.seed, settings.evaluation
    names = {q: metric_name(network, tap, q) for q in ("two_way", "distance", "unit_distance")}
    matrix = correlation_matrix(recons, targets)
    means = permutation_two_way(matrix, options.n_permutations, numpy_generator(seed, "null", tap))
    columns = {
        names["two_way"]: two_way_scores(recons, targets, matrix).numpy(),
        names["distance"]: correlation_distances(recons, targets).numpy(),
        names["unit_distance"]: unit_distances(recons, targets).numpy(),
    }
    chance = {
        names["two_way"]: _chance_of(means),
        names["distance"]: Chance(1.0 - mean_of_others(matrix)),
        names["unit_distance"]: Chance(unit_distance_of_others(recons, targets)),
    }
    if len(recons) < options.retrieval_pool:
        pool, n_images = options.retrieval_pool, len(recons)
        logger.info("retrieval among %d images; evaluation.retrieval_pool is %d", n_images, pool)
    similarity = cosine_similarities(recons, targets)
    for pool in sorted({min(options.retrieval_pool, len(recons)), len(recons)}):
        retrieval = retrieval_scores(similarity, pool, numpy_generator(seed, "retrieval"))
        for way, values in (("image", retrieval.image), ("brain", retrieval.brain)):
            name = metric_name(network, tap, f"{way}_retrieval_{pool}way")
            columns[name], chance[name] = values, Chance(100.0 / pool)
    return Scores(pd.DataFrame(columns), chance)


def _chance_of(means: NDArray[np.float64]) -> Chance:
    """Return the chance level from the mean score of each permutation."""
    return Chance(float(means.mean()), float(np.percentile(means, 99.9)), float(means.std()))


def summarise(scores: Scores, settings: Settings) -> pd.DataFrame:
    """Return mean, bootstrap 95 % interval over images and chance level of each metric."""
    rows = []
    for name in scores.per_image.columns.drop("nsd_id", errors="ignore").astype(str):
        values = scores.per_image[name].to_numpy(dtype=np.float64)
        interval = astuple(mean_interval(values, name, settings))
        chance = astuple(scores.chance.get(name, Chance()))
        rows.append((name, *interval, direction_of(name), *chance))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
