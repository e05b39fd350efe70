"""Pixel metrics, distances, retrieval and intervals against scipy, scikit-image and plain loops."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import correlation as scipy_correlation
from scipy.stats import pearsonr

from brainit.core.compat import import_torchvision
from brainit.core.settings import parse_sections
from brainit.core.streams import numpy_generator
from brainit.evaluation import score
from brainit.evaluation.metrics.features import (
    correlation_distances,
    cosine_similarities,
    retrieval_scores,
    unit_distances,
)
from brainit.evaluation.metrics.names import direction_of, metric_name
from brainit.evaluation.metrics.pixels import (
    pixel_correlations,
    structural_similarities,
    to_evaluation_size,
)
from brainit.evaluation.metrics.statistics import (
    bootstrap_interval,
    mean_interval,
    resampled_means,
)
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.records import Results
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.report.data_scaling import interval_by_run


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(3, 3, 40, 40, generator=generator)
    return first, (0.6 * first + 0.4 * torch.rand(3, 3, 40, 40, generator=generator))


def test_pixcorr_equals_pearson(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = pair
    found = pixel_correlations(first, second)
    for i in range(3):
        expected = pearsonr(first[i].double().flatten(), second[i].double().flatten()).statistic
        assert float(found[i]) == pytest.approx(expected, abs=1e-12)


def test_pixcorr_of_a_flat_image_is_zero(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    flat = torch.full_like(pair[0], 0.3)
    assert pixel_correlations(flat, pair[1]).tolist() == [0.0, 0.0, 0.0]


def ssim_by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2004, Gaussian weights of sigma 1.5 cut at 3.5 sigma, mean inside the border."""

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5)

    c1, c2 = 0.01**2, 0.03**2
    mean_1, mean_2 = blur(first), blur(second)
    var_1 = blur(first * first) - mean_1**2
    var_2 = blur(second * second) - mean_2**2
    cov = blur(first * second) - mean_1 * mean_2
    top = (2 * mean_1 * mean_2 + c1) * (2 * cov + c2)
    ssim = top / ((mean_1**2 + mean_2**2 + c1) * (var_1 + var_2 + c2))
    return float(ssim[5:-5, 5:-5].mean())


def test_ssim_equals_its_definition(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = pair
    weights = np.array([0.2125, 0.7154, 0.0721])  # scikit-image's luminance
    grey = structural_similarities(first, second)
    colour = structural_similarities(first, second, in_colour=True)
    for i in range(3):
        a, b = (image[i].double().permute(1, 2, 0).numpy() for image in (first, second))
        assert float(grey[i]) == pytest.approx(
            ssim_by_definition(a @ weights, b @ weights), abs=1e-5
        )
        expected = np.mean([ssim_by_definition(a[..., c], b[..., c]) for c in range(3)])
        assert float(colour[i]) == pytest.approx(expected, abs=1e-5)
    assert structural_similarities(first, first).tolist() == pytest.approx([1.0] * 3, abs=1e-6)


def test_resizing_is_torchvisions_bilinear_with_antialias() -> None:
    import_torchvision()
    from torchvision.transforms.functional import resize

    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = resize(resize(images, [24, 24], antialias=True), [37, 37], antialias=True)
    assert torch.equal(to_evaluation_size(images, 24, 37), expected)


def test_correlation_distance_equals_scipys() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 5, 33))
    found = correlation_distances(torch.from_numpy(first), torch.from_numpy(second))
    expected = [scipy_correlation(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_unit_distance_by_loops_and_its_range() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 4, 9))
    found = unit_distances(torch.from_numpy(first), torch.from_numpy(second))
    for i in range(4):
        a, b = (
            first[i] / np.sqrt((first[i] ** 2).sum()),
            second[i] / np.sqrt((second[i] ** 2).sum()),
        )
        assert float(found[i]) == pytest.approx(((a - b) ** 2).sum(), abs=1e-12)
    opposite = unit_distances(torch.from_numpy(first), torch.from_numpy(-3 * first))
    np.testing.assert_allclose(opposite, 4.0, atol=1e-12)


def test_retrieval_by_loops() -> None:
    rng = np.random.default_rng(4)
    targets = rng.normal(size=(20, 12))
    recons = targets + 1.5 * rng.normal(size=targets.shape)
    similarity = cosine_similarities(torch.from_numpy(recons), torch.from_numpy(targets))
    found = retrieval_scores(similarity, 8, np.random.default_rng(0))
    draws = np.random.default_rng(0)
    hits = {way: {i: [] for i in range(20)} for way in ("image", "brain")}
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (recons, targets)]
    for _ in range(30):
        pool = draws.choice(20, size=8, replace=False)
        for i in pool:
            image = max(pool, key=lambda j: unit[0][i] @ unit[1][j])
            brain = max(pool, key=lambda j: unit[0][j] @ unit[1][i])
            hits["image"][i].append(image == i)
            hits["brain"][i].append(brain == i)
    assert found.n_pool == 8
    for way in ("image", "brain"):
        expected = [100.0 * np.mean(hits[way][i]) for i in range(20)]
        np.testing.assert_allclose(getattr(found, way), expected, atol=1e-12)


def test_retrieval_says_how_many_images_there_were() -> None:
    found = retrieval_scores(np.eye(5, dtype=np.float32), 300, np.random.default_rng(0))
    assert found.n_pool == 5
    assert found.image.tolist() == [100.0] * 5


@pytest.mark.parametrize("n_images", [2, 7, 99, 1000, 70_001])
def test_resampling_in_blocks_is_resampling_one_by_one(n_images: int) -> None:
    n_resamples = 300 if n_images < 2000 else 3
    values = np.random.default_rng(n_images).normal(size=n_images)
    generator = np.random.default_rng(1)
    rows = (generator.integers(n_images, size=n_images) for _ in range(n_resamples))
    one_by_one = np.array([values[row].mean() for row in rows])
    found = resampled_means(values, n_resamples, np.random.default_rng(1))
    assert np.array_equal(found, one_by_one)


def test_bootstrap_is_seeded_and_covers_the_mean() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, size=400)
    first = bootstrap_interval(values, 500, np.random.default_rng(1))
    assert first == bootstrap_interval(values, 500, np.random.default_rng(1))
    half = 1.96 * values.std() / 20
    assert first[0] == pytest.approx(values.mean() - half, abs=0.05)
    assert first[1] == pytest.approx(values.mean() + half, abs=0.05)


def test_bootstrap_by_loops_leaves_out_nan() -> None:
    values = np.array([1.0, np.nan, 4.0, 2.0])
    rng = np.random.default_rng(7)
    means = [np.mean([(1.0, 4.0, 2.0)[i] for i in rng.integers(3, size=3)]) for _ in range(50)]
    found = bootstrap_interval(values, 50, np.random.default_rng(7))
    assert found == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))), abs=1e-12)
    assert np.isnan(bootstrap_interval(np.array([np.nan]), 5, rng)).all()


def test_summary_table_and_figure_have_one_interval(tmp_path: Path) -> None:
    """Two subjects, one image apart: means over subjects of the images that both saw, resampled."""
    rng = np.random.default_rng(8)
    ids = {"subj01": np.arange(1, 8), "subj02": np.arange(2, 9)}
    scores = {subject: rng.normal(size=7) for subject in ids}
    paths = {f"{subject}/40h/fused": tmp_path / f"{subject}.csv" for subject in ids}
    for (subject, values), path in zip(scores.items(), paths.values(), strict=True):
        pd.DataFrame({"nsd_id": ids[subject], "PixCorr": values}).to_csv(path, index=False)
    settings = parse_sections({"evaluation": {"n_bootstrap": 50}})
    both = (scores["subj01"][1:] + scores["subj02"][:-1]) / 2
    draws = numpy_generator(settings.run.seed, "bootstrap", "PixCorr")
    means = [np.mean(both[draws.integers(6, size=6)]) for _ in range(50)]
    expected = [both.mean(), *np.percentile(means, (2.5, 97.5)), 6]
    found = mean_interval(both, "PixCorr", settings)
    np.testing.assert_allclose(astuple(found), expected, atol=1e-12)
    images = ImageScores(paths)
    assert interval_by_run(images, ("subj01", "subj02"), "PixCorr", settings)["40h"] == found
    (table,) = make_tables(["table1"], Results(images, Summaries({}), {}), settings)
    row = table.records.query("metric == 'PixCorr' and subjects == 'subj01 subj02'").iloc[0]
    assert (row["ours"], row["ci_low"], row["ci_high"]) == astuple(found)[:3]
    own = score.Scores(pd.DataFrame({"PixCorr": scores["subj01"]}), {})
    summary = score.summarise(own, settings).iloc[0]
    row = table.records.query("metric == 'PixCorr' and subjects == 'subj01'").iloc[0]
    assert list(summary[["mean", "ci_low", "ci_high"]]) == list(row[["ours", "ci_low", "ci_high"]])


def test_names_and_directions() -> None:
    assert metric_name("alexnet", "features.4", "two_way") == "Alex(2)"
    assert metric_name("demo_resnet", "mid", "two_way") == "demo_resnet.mid.two_way"
    lower = ("Eff", "SwAV", "a.b.distance", "a.b.unit_distance")
    assert [direction_of(name) for name in lower] == ["lower"] * 4
    higher = ("PixCorr", "SSIM", "CLIP", "a.b.two_way", "a.b.image_retrieval_9way")
    assert [direction_of(name) for name in higher] == ["higher"] * 5
