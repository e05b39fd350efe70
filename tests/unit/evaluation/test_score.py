"""Scores of a run: made-up images and a stand-in network, against the single metrics in loops."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.core.shards import write_shards
from brainit.data.recons import write_recons
from brainit.data.trials import TRIAL_COLUMNS, write_trials
from brainit.evaluation import score, true_features
from brainit.evaluation.metrics.pixels import to_evaluation_size
from brainit.evaluation.metrics.two_way import permutation_two_way
from brainit.evaluation.score import evaluate_run, score_images, summarise
from brainit.evaluation.true_features import known_features, write_true_features
from brainit.features.lpips import Lpips
from brainit.simulation.scenes import CONTENTS, draw_scene, scene_to_dict

N_IMAGES = 12


class Thumbnail(torch.nn.Module):
    """A stand-in metric network: two poolings of the image."""

    taps = ("mid", "final")

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        pooled = [torch.nn.functional.adaptive_avg_pool2d(images, n) for n in (4, 2)]
        return {"mid": pooled[0].flatten(1), "final": pooled[1].flatten(1)}


@pytest.fixture
def settings() -> Settings:
    evaluation = {
        "eval_size": 16,
        "pixel_size": 20,
        "n_bootstrap": 40,
        "n_permutations": 200,
        "retrieval_pool": 6,
    }
    features = {"metrics": ["thumbnail"]}
    run = {"device": "cpu"}
    return parse_sections({"run": run, "evaluation": evaluation, "features": features})


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, size=(N_IMAGES, 16, 16, 3))
    recons = np.clip(0.7 * targets + 80 * rng.random(targets.shape), 0, 255)
    return recons.astype(np.uint8), targets.astype(np.uint8)


@pytest.fixture
def run_folder(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    """Reconstructions of the images 3, 5, 7, ... of a longer list of stimuli."""
    recons, targets = pair
    nsd_id = 3 + 2 * np.arange(N_IMAGES, dtype=np.int64)
    stimuli = np.zeros((30, 16, 16, 3), dtype=np.uint8)
    stimuli[nsd_id] = targets
    write_shards(tmp_path / "stimuli", iter([stimuli]))
    images = {kind: recons for kind in ("lowlevel", "semantic", "fused")}
    write_recons(tmp_path / "recon", nsd_id, images, Image.new("RGB", (4, 4)), {"seed": 1})
    return tmp_path


def test_scores_of_a_run(
    run_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "load_metric_networks", lambda *_: {"thumbnail": Thumbnail()})
    folders = (run_folder / "recon", "fused", run_folder / "stimuli")
    per_image, summary = evaluate_run(*folders, None, settings)
    assert per_image["nsd_id"].tolist() == list(range(3, 27, 2))
    assert list(per_image)[:4] == ["nsd_id", "PixCorr", "SSIM", "SSIM_RGB"]
    assert "thumbnail.final.image_retrieval_6way" in per_image
    rows = summary.set_index("metric")
    for name in per_image.columns.drop("nsd_id"):
        assert rows.loc[name, "mean"] == pytest.approx(per_image[name].mean(), abs=1e-12)
        assert rows.loc[name, "ci_low"] <= rows.loc[name, "mean"] <= rows.loc[name, "ci_high"]
    assert rows.loc["thumbnail.mid.two_way", "null_mean"] == pytest.approx(50.0, abs=3.0)
    assert rows.loc["thumbnail.mid.two_way", "null_p999"] > 50.0
    assert rows.loc["thumbnail.mid.distance", "direction"] == "lower"
    assert abs(rows.loc["PixCorr", "null_mean"]) < 0.2 < rows.loc["PixCorr", "mean"]
    again = evaluate_run(*folders, None, settings)
    pd.testing.assert_frame_equal(again[1], summary)


class Reader(Thumbnail):
    """A stand-in network that reads contents: each by one feature of its last tap."""

    contents = CONTENTS

    def content_outputs(self, features: torch.Tensor) -> torch.Tensor:
        return features.repeat(1, 3)[:, : len(CONTENTS)]


def test_the_truth_of_a_simulation_adds_two_metrics_and_changes_no_other(
    run_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "load_metric_networks", lambda *_: {"demo_reader": Reader()})
    rng = np.random.default_rng(0)
    scenes = {3 + 2 * i: scene_to_dict(draw_scene(rng)) for i in range(N_IMAGES)}
    (run_folder / "scenes.json").write_text(json.dumps(scenes))
    folders = (run_folder / "recon", "fused", run_folder / "stimuli", None, settings)
    without, _ = evaluate_run(*folders)
    per_image, summary = evaluate_run(*folders, run_folder)
    assert set(per_image) - set(without) == {"same_place", "object_auc"}
    pd.testing.assert_frame_equal(per_image[list(without)], without)
    rows = summary.set_index("metric")
    assert rows.loc["same_place", "null_mean"] == 50.0
    assert rows.loc["object_auc", "null_mean"] == 0.5
    assert 0 <= rows.loc["object_auc", "mean"] <= 1
    scenes.pop(7)
    (run_folder / "scenes.json").write_text(json.dumps(scenes))
    with pytest.raises(PipelineError) as error:
        evaluate_run(*folders, run_folder)
    assert error.value.code == "inconsistent-inputs" and "7" in error.value.found


class Counting(Reader):
    """A stand-in network that counts the images that it sees."""

    n_seen = 0

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.n_seen += len(images)
        return super().forward(images)


def test_features_of_true_images_are_computed_once_and_change_no_score(
    run_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Counting()
    for module in (score, true_features):
        monkeypatch.setattr(module, "load_metric_networks", lambda *_: {"thumbnail": network})
    rng = np.random.default_rng(0)
    nsd_id = [3 + 2 * i for i in range(N_IMAGES)]
    scenes = {number: scene_to_dict(draw_scene(rng)) for number in nsd_id}
    (run_folder / "scenes.json").write_text(json.dumps(scenes))
    shown = [*nsd_id, 4]
    trials = pd.DataFrame(0, index=range(len(shown)), columns=list(TRIAL_COLUMNS))
    trials = trials.assign(trial=range(len(shown)), session=1, nsd_id=shown, split="test")
    trials.loc[N_IMAGES, "split"] = "train"
    write_trials(run_folder / "trials.csv", trials)
    known = run_folder / "true.safetensors"
    inputs = (run_folder / "trials.csv", run_folder / "stimuli", None)
    write_true_features(*inputs, run_folder, known, settings)
    folders = (run_folder / "recon", "fused", run_folder / "stimuli", None, settings, run_folder)
    network.n_seen = 0
    plain = evaluate_run(*folders)
    n_plain, network.n_seen = network.n_seen, 0
    found = evaluate_run(*folders, known)
    n_shown = settings.evaluation.n_same_place + 1
    assert network.n_seen == N_IMAGES and n_plain == N_IMAGES * (2 + min(n_shown, N_IMAGES))
    for mine, theirs in zip(found, plain, strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


@pytest.mark.parametrize("change", ["images", "seed", "eval_size", "scenes"])
def test_features_of_others_are_not_used(run_folder: Path, settings: Settings, change: str) -> None:
    images = torch.rand(N_IMAGES, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    nsd_id = np.arange(N_IMAGES)
    networks = {"thumbnail": Thumbnail()}
    path = run_folder / "true.safetensors"
    true_features.true_features(nsd_id, images, networks, None, settings).write(path, settings)
    assert known_features(path, nsd_id, False, settings) is not None
    others = nsd_id[:-1] if change == "images" else nsd_id
    changed = {
        "seed": {"run": {"seed": 7}},
        "eval_size": {"evaluation": {"eval_size": 8}},
    }.get(change, {})
    sections = {name: getattr(settings, name).model_dump() for name in ("run", "evaluation")}
    features = {"metrics": ["thumbnail"]}
    merged = {name: {**values, **changed.get(name, {})} for name, values in sections.items()}
    other = parse_sections({**merged, "features": features})
    assert known_features(path, others, change == "scenes", other) is None


def test_similar_images_are_harder_distractors_where_features_follow_looks(
    pair: tuple[np.ndarray, np.ndarray], settings: Settings
) -> None:
    recons, targets = (score.as_images(pixels) for pixels in pair)
    found = score_images(recons, targets, {"demo_thumbnail": Thumbnail()}, settings)
    rows = summarise(found, settings).set_index("metric")
    similar = rows.loc["similar_final"]
    assert similar["mean"] <= rows.loc["demo_thumbnail.final.two_way", "mean"]
    assert 0 < similar["null_mean"] < similar["null_p999"] <= 100


def test_scores_equal_loops_over_features(
    pair: tuple[np.ndarray, np.ndarray], settings: Settings
) -> None:
    recons, targets = (score.as_images(pixels) for pixels in pair)
    found = score_images(recons, targets, {"thumbnail": Thumbnail()}, settings)
    first, second = (Thumbnail()(images)["mid"].double().numpy() for images in (recons, targets))
    matrix = np.corrcoef(first, second)[:N_IMAGES, N_IMAGES:]
    two_way = [
        100.0 * np.mean([matrix[i, j] < matrix[i, i] for j in range(N_IMAGES) if j != i])
        for i in range(N_IMAGES)
    ]
    np.testing.assert_array_equal(found.per_image["thumbnail.mid.two_way"], two_way)
    distance = found.per_image["thumbnail.mid.distance"]
    np.testing.assert_allclose(distance, 1 - np.diag(matrix), atol=1e-6)


def test_chance_is_the_mean_over_all_pairs_of_different_images(
    pair: tuple[np.ndarray, np.ndarray], settings: Settings
) -> None:
    """By loops over pairs; one random pairing in their place is far enough off to turn a check."""
    recons, targets = (score.as_images(pixels) for pixels in pair)
    chance = score_images(recons, targets, {"thumbnail": Thumbnail()}, settings).chance
    sizes = settings.evaluation.eval_size, settings.evaluation.pixel_size
    pixels = [to_evaluation_size(images, *sizes).double() for images in (recons, targets)]
    taps = [Thumbnail()(images)["mid"].double() for images in (recons, targets)]
    unit = [features / features.norm(dim=1, keepdim=True) for features in taps]
    expected: dict[str, list[float]] = {"PixCorr": [], "distance": [], "unit_distance": []}
    for i in range(N_IMAGES):
        for j in range(N_IMAGES):
            if i == j:
                continue
            both = [images[k].flatten().numpy() for images, k in zip(pixels, (i, j), strict=True)]
            expected["PixCorr"].append(np.corrcoef(*both)[0, 1])
            expected["distance"].append(1 - np.corrcoef(taps[0][i], taps[1][j])[0, 1])
            expected["unit_distance"].append(float((unit[0][i] - unit[1][j]).square().sum()))
    names = {name: f"thumbnail.mid.{name}" for name in ("distance", "unit_distance")}
    for name, values in expected.items():
        assert chance[names.get(name, name)].mean == pytest.approx(np.mean(values), abs=1e-6), name


def test_the_null_of_identification_is_near_normal(settings: Settings) -> None:
    """Its 99 % range over permutations is the one that mean and deviation give."""
    generator = np.random.default_rng(4)
    matrix = torch.from_numpy(generator.normal(size=(100, 100)).astype(np.float32))
    means = permutation_two_way(matrix, 20_000, generator)
    chance = score._chance_of(means)
    expected = chance.mean - 2.5758 * chance.sd, chance.mean + 2.5758 * chance.sd
    np.testing.assert_allclose(np.percentile(means, (0.5, 99.5)), expected, atol=0.4)
    assert chance.sd > 2.0


def test_perfect_reconstructions(pair: tuple[np.ndarray, np.ndarray], settings: Settings) -> None:
    targets = score.as_images(pair[1])
    found = score_images(targets, targets, {"thumbnail": Thumbnail()}, settings)
    rows = summarise(found, settings).set_index("metric")["mean"]
    assert rows["PixCorr"] == pytest.approx(1.0, abs=1e-9)
    assert rows["SSIM"] == pytest.approx(1.0, abs=1e-6)
    assert rows["thumbnail.final.two_way"] == 100.0
    assert rows["thumbnail.final.distance"] == pytest.approx(0.0, abs=1e-9)
    assert rows["thumbnail.mid.brain_retrieval_6way"] == 100.0


def test_refuses_an_unknown_kind_and_a_folder_without_provenance(
    run_folder: Path, settings: Settings
) -> None:
    with pytest.raises(PipelineError) as error:
        evaluate_run(run_folder / "recon", "best", run_folder / "stimuli", None, settings)
    assert error.value.code == "invalid-argument" and "best" in error.value.found
    assert all(kind in error.value.fix for kind in ("lowlevel", "semantic", "fused"))
    (run_folder / "recon" / "provenance.json").unlink()
    with pytest.raises(PipelineError) as error:
        evaluate_run(run_folder / "recon", "fused", run_folder / "stimuli", None, settings)
    assert "provenance.json" in str(error.value)


def test_one_image_has_no_rivals(
    tmp_path: Path, pair: tuple[np.ndarray, np.ndarray], settings: Settings
) -> None:
    images = {"lowlevel": pair[0][:1]}
    one = np.array([3], dtype=np.int64)
    write_recons(tmp_path / "recon", one, images, Image.new("RGB", (4, 4)), {"seed": 1})
    with pytest.raises(PipelineError) as error:
        evaluate_run(tmp_path / "recon", "lowlevel", tmp_path / "stimuli", None, settings)
    assert error.value.code == "missing-data" and error.value.found == "1"
    assert "recon.max_images" in error.value.fix


def test_a_run_without_a_generator_has_low_level_scores_alone(
    run_folder: Path,
    pair: tuple[np.ndarray, np.ndarray],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score, "load_metric_networks", lambda *_: {"thumbnail": Thumbnail()})
    alone, stimuli = run_folder / "recon_lowlevel", run_folder / "stimuli"
    nsd_id = 3 + 2 * np.arange(N_IMAGES, dtype=np.int64)
    write_recons(alone, nsd_id, {"lowlevel": pair[0]}, Image.new("RGB", (4, 4)), {"seed": 1})
    found = evaluate_run(alone, "lowlevel", stimuli, None, settings)
    whole = evaluate_run(run_folder / "recon", "lowlevel", stimuli, None, settings)
    for own, wanted in zip(found, whole, strict=True):
        pd.testing.assert_frame_equal(own, wanted)
    with pytest.raises(PipelineError) as error:
        evaluate_run(alone, "fused", stimuli, None, settings)
    assert error.value.code == "missing-data" and error.value.where == str(alone)
    assert "fused" in error.value.expected and "lowlevel" in error.value.found
    assert "_lowlevel" in error.value.fix


def test_perceptual_distance_has_a_column_of_its_own(
    pair: tuple[np.ndarray, np.ndarray], settings: Settings
) -> None:
    class Mean(torch.nn.Sequential):
        """Replaces AlexNet's features: twelve layers, of which five are tapped."""

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3), *(torch.nn.ReLU() for _ in range(11))]
    network = Lpips(Mean(*layers))
    network.heads = torch.nn.ParameterList(torch.rand(1, 4, 1, 1) for _ in range(5))
    recons, targets = (score.as_images(pixels) for pixels in pair)
    found = score_images(recons, targets, {"lpips_alex": network}, settings)
    with torch.no_grad():
        expected = [float(network(recons[[i]], targets[[i]])) for i in range(N_IMAGES)]
    np.testing.assert_allclose(found.per_image["LPIPS (AlexNet)"], expected, rtol=1e-5)
    rows = summarise(found, settings).set_index("metric").loc["LPIPS (AlexNet)"]
    assert rows["direction"] == "lower"
    assert rows["null_mean"] > rows["mean"] > 0
