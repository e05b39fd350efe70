"""Write a complete simulated NSD: files in NSD's formats, a COCO-style archive, truth and card.

Several processes make images and subjects; the bytes do not depend on their number.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from brainit.core.artifacts import write_artifact
from brainit.core.files import write_text
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.nsd import paths as nsd_paths
from brainit.simulation import nsd_files
from brainit.simulation.brain import SILENT_SHARE, Brain, draw_brain, signals
from brainit.simulation.calibration import calibration
from brainit.simulation.difficulty import difficulty
from brainit.simulation.experiment import Design, draw_design
from brainit.simulation.filter_bank import MAP_SIZE, channel_maps
from brainit.simulation.geometry import AREAS, hemisphere, parcels, visual_vertices
from brainit.simulation.recording import ncsnr, record, standardise
from brainit.simulation.scene_drawing import content_map, render_scene
from brainit.simulation.scenes import CONTENTS, Scene, draw_scene, place_values, scene_to_dict
from brainit.simulation.synthetic_session import write_synthetic_session

logger = logging.getLogger(__name__)

_RSC_SHARE = 0.05
PARCELS = (400, 1000)
"""Parcels of the simulated atlases over both hemispheres, as in Schaefer's."""
_ATLASES = "nsddata/freesurfer/fsaverage/label"


@dataclass(frozen=True)
class StimulusFeatures:
    """Features of the stimuli that drive the brains: filter bank, content maps and places.

    `maps` (images, channels, 24, 24), `contents` (images, contents, 24, 24), `places` (images,
    values).
    """

    maps: NDArray[np.float32]
    contents: NDArray[np.bool_]
    places: NDArray[np.float32]

    def responses(self, brain: Brain, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the noiseless responses of a brain to the images `index` (images, voxels)."""
        contents = self.contents[index].astype(np.float32)
        return signals(brain, self.maps[index], contents, self.places[index])


def simulate(settings: Settings, out: Path, workers: int = 1) -> None:
    """Write `nsd/`, `coco/`, `truth/` and `card.json` below `out` with `workers` processes.

    All random draws follow `run.seed`.
    """
    n_threads = settings.run.threads
    with (
        threadpool_limits(n_threads),
        parallel_config("loky", n_jobs=workers, inner_max_num_threads=n_threads),
        Parallel(return_as="generator") as run,
    ):
        _simulate(settings, out, run)


def _simulate(settings: Settings, out: Path, run: Parallel) -> None:
    seed, sizes, subjects = settings.run.seed, settings.simulation, settings.nsd.subjects
    design = draw_design(sizes, len(subjects), numpy_generator(seed, "design"))
    generator = numpy_generator(seed, "stimuli")
    scenes = [draw_scene(generator) for _ in range(design.n_images)]
    features, pixels = stimulus_features(scenes, sizes.image_size, run)
    root = out / "nsd"
    nsd_files.write_expdesign(root / nsd_paths.EXPDESIGN, design)
    nsd_files.write_stim_info(root / nsd_paths.STIM_INFO, design, sizes.n_repeats)
    nsd_files.write_stimuli(root / nsd_paths.STIMULI, pixels)
    vertices = _write_anatomy(root, sizes.voxels_per_hemisphere)
    jobs = [
        delayed(_write_subject)(out, settings, design, vertices, features, number)
        for number in range(len(subjects))
    ]
    cards = list(progress(run(jobs), "subjects", total=len(jobs)))
    nsd_files.write_archive(out / "coco" / nsd_paths.COCO_ARCHIVE, _external(settings, run))
    truth = {str(number): scene_to_dict(scene) for number, scene in enumerate(scenes)}
    write_text(out / "truth" / "scenes.json", json.dumps(truth))
    card = _card(settings, difficulty(design, scenes, pixels), cards)
    write_text(out / "card.json", json.dumps(card, indent=2) + "\n")


def stimulus_features(
    scenes: list[Scene], image_size: int, run: Parallel
) -> tuple[StimulusFeatures, NDArray[np.uint8]]:
    """Return the features of the scenes and their pixels, (images, side, side, 3) in 0..255."""
    jobs = map(delayed(_view), scenes, repeat(image_size))
    views = list(progress(run(jobs), "stimuli", total=len(scenes)))
    pixels, maps, labels = (np.stack(part) for part in zip(*views, strict=True))
    kinds = np.arange(1, len(CONTENTS) + 1, dtype=np.uint8)
    places = np.array([place_values(scene) for scene in scenes], dtype=np.float32)
    return StimulusFeatures(maps, labels[:, None] == kinds[:, None, None], places), pixels


def _view(
    scene: Scene, image_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Return the pixels, the filter bank maps and the content map of a scene."""
    pixels = render_scene(scene, image_size)
    return pixels, channel_maps(pixels), content_map(scene, MAP_SIZE)


def _external(settings: Settings, run: Parallel) -> Iterator[NDArray[np.uint8]]:
    generator = numpy_generator(settings.run.seed, "external_images")
    n_images, size = settings.simulation.n_external_images, settings.simulation.image_size
    jobs = (delayed(render_scene)(draw_scene(generator), size) for _ in range(n_images))
    yield from progress(run(jobs), "external images", total=n_images)


def _write_anatomy(root: Path, n_voxels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write surfaces, labels and atlases; return the masked vertices of each hemisphere.

    `nsdgeneral` has the values -1, 0 and 1.
    """
    masked = []
    for side, name in enumerate(nsd_paths.HEMISPHERES):
        surface = hemisphere(side)
        vertices = visual_vertices(side, n_voxels)
        n_rsc = max(1, round(_RSC_SHARE * n_voxels))
        rsc = vertices[:: max(1, len(vertices) // n_rsc)][:n_rsc]
        general = np.full(len(surface.flat), -1.0, dtype=np.float32)
        general[visual_vertices(side, 2 * n_voxels)] = 0
        general[vertices] = 1
        general[rsc] = 0
        is_rsc = np.zeros(len(surface.flat), dtype=np.float32)
        is_rsc[rsc] = 1
        labels = (("nsdgeneral", general), ("nsdgeneralRSC", is_rsc))
        for label, values in labels:
            nsd_files.write_mgh(root / nsd_paths.label(name, label), values[None])
        nsd_files.write_surface(root / nsd_paths.pial(name), surface.position_mm, surface.faces)
        for n_parcels in PARCELS:
            path = root / f"{_ATLASES}/{name}.parcels{n_parcels}.annot"
            nsd_files.write_annotation(path, parcels(side, n_parcels // 2))
        masked.append(vertices)
    return masked[0], masked[1]


def _write_subject(
    out: Path,
    settings: Settings,
    design: Design,
    vertices: tuple[NDArray[np.int64], NDArray[np.int64]],
    features: StimulusFeatures,
    number: int,
) -> dict[str, Any]:
    """Write a subject's files in NSD's formats and its truth; return its entry of the card."""
    root, subject = out / "nsd", settings.nsd.subjects[number]
    brain = draw_brain(vertices, number, numpy_generator(settings.run.seed, "brain", subject))
    _write_truth(out / "truth" / f"{subject}.safetensors", brain, subject)
    nsd_files.write_responses(root / nsd_paths.responses(subject), design, number)
    draw = numpy_generator(settings.run.seed, "recording", subject)
    listed = design.lists[number]
    responses = standardise(features.responses(brain, listed))
    recording = record(brain, responses[design.order], design.trials_per_session, number, draw)
    version = settings.nsd.betas_version
    n_trials = design.trials_per_session
    for session in range(1, design.n_sessions + 1):
        rows = slice((session - 1) * n_trials, session * n_trials)
        for side, name in enumerate(nsd_paths.HEMISPHERES):
            frames = _on_surface(brain, recording.betas[rows], side, draw)
            path = root / nsd_paths.betas(subject, version, name, session)
            nsd_files.write_mgh(path, frames)
    snr = ncsnr(recording.betas, design.nsd_ids(number), n_trials)
    for side, name in enumerate(nsd_paths.HEMISPHERES):
        values = np.full((1, len(hemisphere(side).flat)), np.nan, dtype=np.float32)
        mine = brain.hemisphere == side
        values[0, brain.vertex[mine]] = snr[mine]
        nsd_files.write_mgh(root / nsd_paths.ncsnr(subject, version, name), values)
    write_synthetic_session(root, settings, brain, number, subject)
    first = recording.betas[: 2 * n_trials]
    return {
        "subject": subject,
        "n_voxels": int((~recording.is_missing).sum()),
        "n_missing": int(recording.is_missing.sum()),
        "median_ceiling_pct": round(float(np.median(brain.ceiling)), 2),
        "median_ceiling_responsive_pct": round(
            float(np.median(brain.ceiling[~brain.is_silent])), 2
        ),
        "silent_share": round(float(brain.is_silent.mean()), 4),
        "single_trial_r": round(_single_trial_r(brain), 4),
        "median_beta_psc": round(float(np.nanmedian(first)), 3),
    }


def _single_trial_r(brain: Brain) -> float:
    """Return the median over responsive voxels of the expected correlation between two trials."""
    ceiling = brain.ceiling[~brain.is_silent]
    return float(np.median(ceiling / (3 * (100 - ceiling) + ceiling)))


def _on_surface(
    brain: Brain, betas: NDArray[np.float32], side: int, draw: np.random.Generator
) -> NDArray[np.float32]:
    """Return betas at all vertices of a hemisphere; vertices outside the mask are noise."""
    n_vertices = len(hemisphere(side).flat)
    frames = draw.standard_normal((len(betas), n_vertices), dtype=np.float32)
    mine = brain.hemisphere == side
    frames[:, brain.vertex[mine]] = betas[:, mine]
    return frames


def _write_truth(path: Path, brain: Brain, subject: str) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "hemisphere": brain.hemisphere.astype(np.int64),
        "vertex": brain.vertex.astype(np.int64),
        "area": brain.area.astype(np.int64),
        "prf_x": brain.prf[:, 0].astype(np.float32),
        "prf_y": brain.prf[:, 1].astype(np.float32),
        "prf_sigma": brain.prf[:, 2].astype(np.float32),
        "channel_weight": brain.channel_weight,
        "content_weight": brain.content_weight,
        "noise_ceiling_true": brain.ceiling.astype(np.float32),
    }
    write_artifact(path, "truth", tensors, {"subject": subject, "areas": list(AREAS)})


def _card(
    settings: Settings, stimuli: dict[str, Any], subjects: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "what": "simulation of the Natural Scenes Dataset; nobody's data",
        "seed": settings.run.seed,
        "sizes": settings.simulation.model_dump(),
        "areas": list(AREAS),
        "silent_share": SILENT_SHARE,
        "stimuli": stimuli,
        "subjects": subjects,
        "calibration": calibration(),
    }
