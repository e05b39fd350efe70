"""Check that the method works: each result with its interval, beside its null.

On all brains: identification against permutations, contralateral attention, transfer, blind
baselines of the same data, and the paper's orderings (Tables 1, T4, T7). On simulated brains, whose
truth is known, also: difficulty, encoder accuracy against the true noise ceiling, clusters against
true areas, objects that are seen, and an oracle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore
from brainit.data.trials import read_trials
from brainit.data.voxels import read_voxels
from brainit.evaluation.checks.claims import check_orderings
from brainit.evaluation.checks.cluster_attention import check_contralateral, cluster_attention
from brainit.evaluation.checks.clusters import LEAST_CEILING, check_clusters
from brainit.evaluation.checks.comparisons import Comparisons
from brainit.evaluation.checks.nearest_scene import compare_with_nearest_scene
from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import (
    NAN,
    Check,
    Interval,
    above,
    as_table,
    at_least,
    within,
)
from brainit.evaluation.encoder import (
    EncoderPredictions,
    predict_test_responses,
    resampled_correlations,
    share_of_attainable,
    shuffled_correlations,
)
from brainit.evaluation.tables.run_scores import ImageScores, Summaries, run_key
from brainit.evaluation.truth import VoxelTruth, read_card, read_scenes, read_voxel_truth
from brainit.models.brain_transformer import load_bit
from brainit.workflow.cohort import is_nsd
from brainit.workflow.runs import FULL

LEAST_SHARE_OF_ATTAINABLE = 0.75
PUBLISHED_MEDIAN_CEILINGS = (23.8, 46.9)
"""Range over NSD's subjects, in percent of variance (Allen et al. 2022)."""
LEAST_SILENT_SHARE = 0.2


@dataclass(frozen=True)
class CheckInputs:
    """The files that the checks read; mappings are by subject, `metrics` by subject/run/kind.

    `truth` and `card` are those of a simulation, else None.
    """

    encoder: Path
    clusters: Path
    bit: Path
    voxels: Mapping[str, Path]
    betas: Mapping[str, Path]
    trials: Mapping[str, Path]
    stimuli: Path
    metrics: Mapping[str, Path]
    summaries: Mapping[str, Path]
    weights_dir: Path | None = None
    truth: Path | None = None
    card: Path | None = None


def check_results(inputs: CheckInputs, settings: Settings) -> pd.DataFrame:
    """Return the table of checks, for a simulation against its truth.

    A cohort with subjects beside the simulated NSD's has no truth to check against. Raises
    `PipelineError` for a simulation without truth and card.
    """
    if not settings.run.simulation or not all(map(is_nsd, inputs.voxels)):
        return as_table(_check_recorded(inputs, settings))
    if inputs.truth is None or inputs.card is None:
        absent = ["--truth"] * (inputs.truth is None) + ["--card"] * (inputs.card is None)
        expected, found = "the truth and card of the simulation", f"no {' and no '.join(absent)}"
        fix = "give --truth and --card, which simulate_nsd writes"
        raise PipelineError("check_results", expected, found, fix, code="invalid-argument")
    return as_table(_check_simulated(inputs, inputs.truth, inputs.card, settings))


def _check_recorded(inputs: CheckInputs, settings: Settings) -> list[Check]:
    return [*_check_attention(inputs, settings), *_check_runs(inputs, settings)]


def _check_runs(inputs: CheckInputs, settings: Settings) -> list[Check]:
    runs = Comparisons(ImageScores(inputs.metrics), Summaries(inputs.summaries), settings)
    return [*check_scores(runs), *check_orderings(runs)]


def _check_simulated(
    inputs: CheckInputs, truth: Path, card: Path, settings: Settings
) -> list[Check]:
    truths = {
        subject: read_voxel_truth(truth, subject, path) for subject, path in inputs.voxels.items()
    }
    known = list(truths.values())
    return [
        *check_difficulty(read_card(card)),
        *_check_encoder(inputs, truths, settings),
        *check_clusters(inputs.clusters, inputs.encoder, inputs.voxels, known, settings),
        *_check_attention(inputs, settings),
        *_check_runs(inputs, settings),
        *_answer_with_nearest_scene(inputs, truth, settings),
    ]


def check_difficulty(card: Mapping[str, Any]) -> list[Check]:
    """Check that the simulated brain is as hard as NSD's: noise ceilings and silent voxels."""
    low, high = PUBLISHED_MEDIAN_CEILINGS
    centre, reach = (low + high) / 2, (high - low) / 2
    medians = [float(subject["median_ceiling_pct"]) for subject in card["subjects"]]
    furthest = max(medians, key=lambda median: abs(median - centre))
    text = (
        "median noise ceiling, percent, of the subject furthest from the middle of NSD's range, "
        f"{low} to {high}"
    )
    silent = "smallest share over simulated subjects of voxels that carry no signal"
    share = min(float(subject["silent_share"]) for subject in card["subjects"])
    return [
        within("difficulty_median_ceiling_pct", Interval(furthest, NAN, NAN), centre, reach, text),
        at_least("difficulty_silent_share", share, LEAST_SILENT_SHARE, silent),
    ]


def _check_encoder(
    inputs: CheckInputs, truths: Mapping[str, VoxelTruth], settings: Settings
) -> list[Check]:
    """Check the encoder's accuracy as a share of the maximum that the true noise ceiling allows."""
    evaluated = [subject for subject in settings.nsd.evaluated if subject in inputs.betas]
    betas = {subject: inputs.betas[subject] for subject in evaluated}
    predictions = predict_test_responses(
        inputs.encoder, betas, inputs.trials, inputs.stimuli, inputs.weights_dir, settings
    )
    pairs = [(prediction, truths[prediction.subject].noise_ceiling) for prediction in predictions]
    values = [
        float(share_of_attainable(prediction.correlation, ceiling, LEAST_CEILING))
        for prediction, ceiling in pairs
    ]
    nulls = [_encoder_null(prediction, ceiling, settings) for prediction, ceiling in pairs]
    medians = [
        float(np.median(prediction.correlation[ceiling > LEAST_CEILING]))
        for prediction, ceiling in pairs
    ]
    text = (
        "median over responsive voxels (true ceiling above 10 %) of correlation / sqrt(true "
        "ceiling) on held-out shared images, mean over subjects; null: 99.9th percentile with "
        "images shuffled; interval: resamples of images. Median correlation "
        f"{np.mean(medians):.3f}; {', '.join(evaluated)}"
    )
    resampled = np.mean([_resampled_shares(*pair, settings) for pair in pairs], axis=0)
    interval, null = Interval.of(float(np.mean(values)), resampled), float(np.mean(nulls))
    threshold = max(LEAST_SHARE_OF_ATTAINABLE, null)
    return [above("encoder_share_of_attainable", interval, threshold, text, null)]


def _resampled_shares(
    prediction: EncoderPredictions, ceiling: NDArray[np.float64], settings: Settings
) -> NDArray[np.float64]:
    generator = numpy_generator(settings.run.seed, "encoder_accuracy", prediction.subject)
    correlation = resampled_correlations(prediction, settings.evaluation.n_bootstrap, generator)
    return share_of_attainable(correlation, ceiling, LEAST_CEILING)


def _encoder_null(
    prediction: EncoderPredictions,
    ceiling: NDArray[np.float64],
    settings: Settings,
) -> float:
    generator = numpy_generator(settings.run.seed, "encoder_null", prediction.subject)
    shuffled = shuffled_correlations(prediction, settings.evaluation.n_permutations, generator)
    return float(np.percentile(share_of_attainable(shuffled, ceiling, LEAST_CEILING), 99.9))


def _check_attention(inputs: CheckInputs, settings: Settings) -> list[Check]:
    """Check the semantic BIT's attention on the test responses of each evaluated subject.

    A subject whose voxels' hemispheres are unknown is left out; no check where all are.
    """
    bit = load_bit(inputs.bit)
    bit.model.eval()
    attention = []
    for subject in settings.nsd.evaluated:
        files = inputs.betas[subject], inputs.trials[subject]
        fmri = load_subject_fmri(subject, *files, ("test",), "40h", True)
        hemisphere = read_voxels(inputs.voxels[subject])["hemisphere"]
        if (hemisphere < 0).any():
            continue
        attention.append(cluster_attention(bit, fmri, hemisphere))
    generator = numpy_generator(settings.run.seed, "resampled_attention")
    n_resamples = settings.evaluation.n_bootstrap
    return [check_contralateral(attention, n_resamples, generator)] if attention else []


def _answer_with_nearest_scene(inputs: CheckInputs, truth: Path, settings: Settings) -> list[Check]:
    """Compare with the answer that names the training image whose true content is nearest."""
    test, training = {}, {}
    for name, path in inputs.metrics.items():
        subject, run, kind = run_key(name)
        if (run, kind) != (FULL.name, "fused"):
            continue
        test[subject] = read_table(path, ("nsd_id",), "evaluate")["nsd_id"].to_numpy(dtype=np.int64)
        trials = read_trials(inputs.trials[subject])
        is_train = trials["split"] == "train"
        training[subject] = np.unique(trials.loc[is_train, "nsd_id"].to_numpy(np.int64))
    stimuli = ImageStore(inputs.stimuli)
    scenes = read_scenes(truth)
    return compare_with_nearest_scene(test, training, scenes, stimuli, inputs.weights_dir, settings)
