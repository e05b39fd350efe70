"""Checks against a made-up truth: clusters, encoder, difficulty, the nearest training scene."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from brainit.core.artifacts import write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.core.streams import numpy_generator
from brainit.evaluation.checks.cluster_attention import (
    ClusterAttention,
    check_contralateral,
    contralateral_correlation,
    contralateral_difference,
    reads_right,
)
from brainit.evaluation.checks.clusters import (
    _blocks,
    area_agreement,
    check_clusters,
    explained_variance,
    profile_correlation,
)
from brainit.evaluation.checks.nearest_scene import nearest_scenes, scene_labels
from brainit.evaluation.checks.results import check_difficulty
from brainit.evaluation.checks.verdict import FAILS, HOLDS, UNDECIDED, Interval, jackknife
from brainit.evaluation.encoder import (
    EncoderPredictions,
    share_of_attainable,
    shuffled_correlations,
)
from brainit.evaluation.truth import VoxelTruth, read_card, read_scenes, read_voxel_truth
from brainit.simulation.scenes import draw_scene, scene_to_dict

N_VOXELS, N_AREAS = 120, 4


def write_voxels(path: Path, hemisphere: np.ndarray, vertex: np.ndarray) -> None:
    n_voxels = len(vertex)
    rng = np.random.default_rng(n_voxels)
    tensors = {
        "vertex": vertex.astype(np.int64),
        "hemisphere": hemisphere.astype(np.int64),
        "position_mm": rng.normal(size=(n_voxels, 3)).astype(np.float32),
        "noise_ceiling": np.full(n_voxels, 30.0, dtype=np.float32),
    }
    attributes = {"subject": "subj01", "space": "fsaverage", "mask": "all", "n_dropped_nan": 0}
    write_artifact(path, "voxels", tensors, attributes)


def write_truth(folder: Path, hemisphere: np.ndarray, vertex: np.ndarray) -> None:
    n_voxels = len(vertex)
    numbers = np.arange(n_voxels, dtype=np.float32)
    tensors = {
        "hemisphere": hemisphere.astype(np.int64),
        "vertex": vertex.astype(np.int64),
        "area": (vertex % N_AREAS).astype(np.int64),
        "prf_x": numbers,
        "prf_y": numbers,
        "prf_sigma": numbers,
        "channel_weight": np.zeros((n_voxels, 2), dtype=np.float32),
        "content_weight": np.zeros((n_voxels, 2), dtype=np.float32),
        "noise_ceiling_true": 10.0 * hemisphere.astype(np.float32) + numbers,
    }
    attributes = {"subject": "subj01", "areas": ["a", "b", "c", "d"]}
    write_artifact(folder / "subj01.safetensors", "truth", tensors, attributes)


def test_truth_is_matched_by_hemisphere_and_vertex(tmp_path: Path) -> None:
    hemisphere, vertex = np.array([0, 0, 1, 1]), np.array([5, 7, 5, 6])
    write_truth(tmp_path, hemisphere, vertex)
    write_voxels(tmp_path / "v.safetensors", hemisphere[[3, 0, 2]], vertex[[3, 0, 2]])
    found = read_voxel_truth(tmp_path, "subj01", tmp_path / "v.safetensors")
    assert found.area.tolist() == [2, 1, 1]
    assert found.noise_ceiling.tolist() == [13.0, 0.0, 12.0]
    assert found.prf[:, 0].tolist() == [3.0, 0.0, 2.0]
    assert found.areas == ("a", "b", "c", "d")
    write_voxels(tmp_path / "v.safetensors", np.array([1]), np.array([7]))
    with pytest.raises(PipelineError) as error:
        read_voxel_truth(tmp_path, "subj01", tmp_path / "v.safetensors")
    assert error.value.code == "inconsistent-inputs"
    assert "1 voxels" in error.value.found and "(1, 7)" in error.value.found


def test_card_and_scenes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng) for _ in range(3)]
    text = json.dumps({str(i): scene_to_dict(scene) for i, scene in enumerate(scenes)})
    (tmp_path / "scenes.json").write_text(text)
    assert read_scenes(tmp_path) == dict(enumerate(scenes))
    for content, code in ((None, "missing-file"), ("{", "damaged-file"), ("{}", "wrong-kind")):
        if content is not None:
            (tmp_path / "card.json").write_text(content)
        with pytest.raises(PipelineError) as error:
            read_card(tmp_path / "card.json")
        assert error.value.code == code and error.value.where.endswith("card.json")
    assert "silent_share" in error.value.expected
    (tmp_path / "scenes.json").write_text('{"0": {"place": "beach"}}')
    with pytest.raises(PipelineError) as error:
        read_scenes(tmp_path)
    assert error.value.code == "wrong-kind"


def test_difficulty_holds_and_fails() -> None:
    easy = {"median_ceiling_pct": 60.0, "silent_share": 0.1}
    fair = {"median_ceiling_pct": 30.0, "silent_share": 0.25}
    verdicts = [c.verdict for c in check_difficulty({"subjects": [fair, fair]})]
    assert verdicts == [HOLDS, HOLDS]
    checks = check_difficulty({"subjects": [fair, easy]})
    assert [c.verdict for c in checks] == [FAILS, FAILS]
    assert [c.value for c in checks] == [60.0, 0.1]


def test_agreement() -> None:
    area = np.repeat(np.arange(4), 50)
    assert area_agreement((area + 1) % 4, area) == pytest.approx(1.0)
    shuffled = np.random.default_rng(0).permutation(area)
    assert abs(area_agreement(shuffled, area)) < 0.05


@pytest.fixture
def settings() -> Settings:
    clusters = {"n_clusters": N_AREAS, "covariance": "diag"}
    return parse_sections({"clusters": clusters, "run": {"simulation": True}})


@pytest.mark.parametrize("is_good", [True, False])
def test_clusters_against_the_truth(tmp_path: Path, settings: Settings, is_good: bool) -> None:
    """Clusters equal to areas hold; shuffled ones do not. Positions carry nothing in both."""
    rng = np.random.default_rng(1)
    subjects = ("subj01", "subj02")
    area = rng.integers(0, N_AREAS, size=2 * N_VOXELS)
    labels = area if is_good else rng.permutation(area)
    truths, voxels = [], {}
    for i, subject in enumerate(subjects):
        mine = area[i * N_VOXELS : (i + 1) * N_VOXELS]
        prf = np.exp(mine[:, None] + 0.1 * np.abs(rng.normal(size=(N_VOXELS, 3))))
        truths.append(VoxelTruth(subject, ("a", "b", "c", "d"), mine, prf, np.full(N_VOXELS, 40.0)))
        voxels[subject] = tmp_path / f"{subject}.safetensors"
        write_voxels(voxels[subject], np.zeros(N_VOXELS), np.arange(N_VOXELS))
    shared = {"subjects": list(subjects), "n_voxels": [N_VOXELS, N_VOXELS], "seed": 0}
    embedding = rng.normal(size=(2 * N_VOXELS, 5)).astype(np.float32)
    encoder, clusters = tmp_path / "encoder.safetensors", tmp_path / "clusters.safetensors"
    attributes = {**shared, "settings": {}, "backbone": "b", "pool": "all"}
    write_artifact(encoder, "encoder", {"voxel_embedding": embedding}, attributes)
    attributes = {**shared, "n_clusters": N_AREAS, "method": "gmm"}
    write_artifact(clusters, "clusters", {"voxel_cluster": labels.astype(np.int64)}, attributes)
    checks = check_clusters(clusters, encoder, voxels, truths, settings)
    found = {check.name: check for check in checks}
    ami = found["clusters_vs_areas_ami"]
    assert ami.verdict == (HOLDS if is_good else FAILS)
    assert ami.value == pytest.approx(1.0 if is_good else 0.0, abs=0.05)
    assert abs(ami.null) < 0.1
    better = found["clusters_vs_areas_ami_above_coordinates"]
    assert better.value == pytest.approx(ami.value, abs=0.1)  # positions carry nothing
    assert better.verdict == (HOLDS if is_good else UNDECIDED)
    fields = found["clusters_vs_fields_above_coordinates"]
    assert fields.value == pytest.approx(1.0 if is_good else 0.0, abs=0.1)
    assert fields.verdict == (HOLDS if is_good else UNDECIDED)
    profile = found["clusters_area_profile_r"]
    assert (profile.verdict == HOLDS) == is_good  # four clusters: shuffled, it is undecided
    assert profile.null < 0.9
    with pytest.raises(PipelineError) as error:
        check_clusters(clusters, encoder, voxels, truths[::-1], settings)
    assert error.value.code == "inconsistent-inputs" and "subj01, subj02" in error.value.fix


def test_explained_variance_by_loops() -> None:
    rng = np.random.default_rng(5)
    labels, values = rng.choice([2, 3, 7], 40), rng.normal(size=(40, 2))
    values[:, 0] += labels
    within = sum(
        (values[row, column] - values[labels == labels[row], column].mean()) ** 2
        for row in range(40)
        for column in range(2)
    )
    whole = sum(
        (values[row, column] - values[:, column].mean()) ** 2
        for row in range(40)
        for column in range(2)
    )
    expected = 1 - (within / 37) / (whole / 39)
    assert explained_variance(labels, values) == pytest.approx(expected)
    by_chance = [explained_variance(rng.permutation(labels), values) for _ in range(400)]
    assert np.mean(by_chance) == pytest.approx(0.0, abs=0.01)
    assert np.isnan(explained_variance(np.arange(40), values))
    assert np.isnan(explained_variance(labels[:0], values[:0]))
    assert np.isnan(explained_variance(labels, np.ones((40, 2))))


def test_profile_correlation_by_loops() -> None:
    rng = np.random.default_rng(4)
    labels, area = rng.integers(0, 3, 60) * 5, rng.integers(0, 4, 60)
    subject = np.repeat([0, 1, 2], 20)
    shares = np.array(
        [
            [
                [np.mean(area[(subject == s) & (labels == c)] == a) for a in range(4)]
                for c in (0, 5, 10)
            ]
            for s in range(3)
        ]
    )
    shares = shares - shares.mean(axis=1, keepdims=True)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = [np.corrcoef(shares[i].ravel(), shares[j].ravel())[0, 1] for i, j in pairs]
    assert profile_correlation(labels, area, subject) == pytest.approx(np.mean(expected))
    two = np.array([0, 0, 1, 0, 0, 1, 2])  # the second subject alone has the last cluster
    found = profile_correlation(two, np.array([0, 0, 1, 0, 0, 1, 3]), np.array([0] * 3 + [1] * 4))
    assert found == pytest.approx(1.0)


def attention_of(side: np.ndarray, right_share: np.ndarray) -> ClusterAttention:
    """Return the attention of 4 x 4 queries to clusters that are read at `side`, -1 to 1."""
    x = np.tile(np.linspace(-1, 1, 4), 4)
    weights = 1.0 + 0.9 * x[:, None] * side
    return ClusterAttention(weights / weights.sum(axis=1, keepdims=True), right_share)


def test_contralateral_reading_by_loops() -> None:
    rng = np.random.default_rng(8)
    weights, share = rng.random((9, 5)), np.array([0.1, 0.8, np.nan, 0.4, 0.9])
    counts = np.array([1, 2, 1, 0, 1])
    reads, x = [], []
    for query in range(9):
        total = sum(weights[query, k] * counts[k] for k in (0, 1, 3, 4))
        reads.append(sum(weights[query, k] * counts[k] * share[k] for k in (0, 1, 3, 4)) / total)
        x.append((-1, 0, 1)[query % 3])
    attention = ClusterAttention(weights, share)
    np.testing.assert_allclose(reads_right(attention, counts), reads)
    slope, at_centre = np.polyfit(x, reads, 1)
    left, right = at_centre - slope, at_centre + slope
    found = contralateral_difference(attention, counts)
    assert found == pytest.approx(100 * (left - right))
    expected = -np.corrcoef(x, reads_right(attention))[0, 1]
    assert contralateral_correlation(attention) == pytest.approx(expected)
    nobody = ClusterAttention(weights, np.full(5, np.nan))
    assert np.isnan(contralateral_correlation(nobody))
    assert np.isnan(contralateral_difference(nobody))
    assert np.isnan(contralateral_correlation(ClusterAttention(weights, np.full(5, 0.5))))


def test_contralateral_attention_holds_mirrored_fails_and_random_is_undecided() -> None:
    rng = np.random.default_rng(6)
    share = rng.uniform(size=40)
    share[3] = np.nan
    crossed = attention_of(1 - 2 * np.nan_to_num(share), share)
    check = check_contralateral([crossed, crossed], 200, numpy_generator(0, "a"))
    assert check.low <= check.value <= check.high and check.verdict == HOLDS
    mirrored = attention_of(2 * np.nan_to_num(share) - 1, share)
    check = check_contralateral([mirrored], 200, numpy_generator(0, "a"))
    assert check.low <= check.value <= check.high and check.verdict == FAILS
    verdicts = [
        check_contralateral(
            [attention_of(rng.uniform(-1, 1, 40), share)], 200, numpy_generator(0, "a")
        ).verdict
        for _ in range(10)
    ]
    assert verdicts.count(UNDECIDED) >= 8


def test_clusters_that_no_query_reads_do_not_matter() -> None:
    rng = np.random.default_rng(7)
    found = attention_of(rng.uniform(-1, 1, 10), rng.uniform(size=10))
    idle = np.concatenate([found.weights, np.full((16, 1), 1e-12)], axis=1)
    more = ClusterAttention(idle, np.append(found.right_share, 1.0))
    assert contralateral_correlation(more) == pytest.approx(contralateral_correlation(found))
    assert found.maps.shape == (10, 4, 4)
    np.testing.assert_allclose(found.maps.sum(axis=(1, 2)), 1.0)
    assert found.side.mean() == pytest.approx(0.0)


def test_the_jackknife_is_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(9).normal(size=400)
    found = jackknife(lambda kept: float(values[kept].mean()), np.arange(400))
    assert found.value == pytest.approx(values.mean())
    expected = 1.966 * values.std(ddof=1) / 20  # the jackknife of a mean is its standard error
    assert found.high - found.value == pytest.approx(expected, rel=1e-3)
    assert found.value - found.low == pytest.approx(expected, rel=1e-3)


def test_blocks_are_of_neighbours_and_take_the_place_of_independent_voxels() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(20, 3)) * 100
    of = np.repeat(np.arange(20), 30)
    block = _blocks((centres[of] + rng.normal(size=(600, 3))).astype(np.float32), 0)
    assert len(np.unique(block)) == 20
    assert adjusted_mutual_info_score(block, of) > 0.9
    values = rng.normal(size=20)[of]  # neighbours are equal: 20 values, not 600
    reach = jackknife(lambda kept: float(values[kept].mean()), of)
    naive = jackknife(lambda kept: float(values[kept].mean()), np.arange(600))
    assert (reach.high - reach.low) > 4 * (naive.high - naive.low)


def test_resamples_without_a_value_widen_the_interval() -> None:
    resampled = np.random.default_rng(3).normal(size=1001)
    known = Interval.of(0.0, resampled)
    assert known.ends[1:] == pytest.approx(np.quantile(resampled, (0.025, 0.975)))
    some = resampled.copy()
    some[np.argsort(np.abs(resampled))[:15]] = np.nan
    widened = Interval.of(0.0, some)
    lows, highs = (np.sort(np.where(np.isnan(some), end, some)) for end in (-np.inf, np.inf))
    assert (widened.low, widened.high) == pytest.approx((lows[25], highs[975]))
    some[:30] = np.nan
    assert np.isnan(Interval.of(0.0, some).ends[1:]).all()


def test_share_of_attainable_by_loops() -> None:
    correlation = np.array([0.5, 0.2, 0.9, 0.3])
    ceiling = np.array([25.0, 9.0, 81.0, 36.0])
    expected = np.median([0.5 / 0.5, 0.9 / 0.9, 0.3 / 0.6])
    assert float(share_of_attainable(correlation, ceiling, 10.0)) == pytest.approx(expected)


def test_encoder_correlation_and_its_null() -> None:
    generator = torch.Generator().manual_seed(0)
    measured = torch.randn(80, 30, generator=generator)
    predicted = measured + torch.randn(80, 30, generator=generator)
    found = EncoderPredictions("subj01", predicted, measured)
    expected = [np.corrcoef(predicted[:, v], measured[:, v])[0, 1] for v in range(30)]
    np.testing.assert_allclose(found.correlation, expected, atol=1e-6)
    shuffled = shuffled_correlations(found, 40, numpy_generator(0, "null"))
    assert shuffled.shape == (40, 30)
    assert abs(shuffled.mean()) < 0.02
    order = numpy_generator(0, "null").permutation(80)
    first = [np.corrcoef(predicted[:, v], measured[order, v])[0, 1] for v in range(30)]
    np.testing.assert_allclose(shuffled[0], first, atol=1e-6)


def test_nearest_scene_by_loops() -> None:
    rng = np.random.default_rng(2)
    scenes = {i: draw_scene(rng) for i in range(12)}
    scenes[3] = scenes[10]
    training, test = np.arange(9), np.array([10, 11])
    found = nearest_scenes(test, training, scenes)
    assert found[0] == 3
    labels = {i: scene_labels(scene).tolist() for i, scene in scenes.items()}
    common = [sum(a == b for a, b in zip(labels[i], labels[11], strict=True)) for i in training]
    assert found[1] == training[int(np.argmax(common))]
