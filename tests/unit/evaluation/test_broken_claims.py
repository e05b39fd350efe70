"""Broken on purpose, no claim holds: reconstructions that belong to other images.

Images, reconstructions and their scores are made up, and scored by the metrics themselves.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.evaluation.test_score import Reader

from brainit.core.settings import parse_sections
from brainit.evaluation.checks.claims import check_orderings
from brainit.evaluation.checks.comparisons import Comparisons
from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import COMPARISON, HOLDS, Check
from brainit.evaluation.score import score_images, summarise
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.simulation.scene_drawing import render_scene
from brainit.simulation.scenes import draw_scene

N_IMAGES, SIZE = 40, 32
SETTINGS = parse_sections(
    {
        "run": {"simulation": True, "device": "cpu"},
        "evaluation": {
            "eval_size": SIZE,
            "pixel_size": SIZE,
            "n_bootstrap": 200,
            "n_permutations": 200,
            "retrieval_pool": 40,
            "n_same_place": 2,
        },
    }
)
NOISE = {
    "40h/fused": 0.10,
    "40h/lowlevel": 0.16,
    "40h/semantic": 0.20,
    "1h/fused": 0.25,
    "1h_scratch/fused": 0.9,
    "1h_ridge/fused": 0.9,
    "40h_ridge/fused": 0.9,
    "40h_ridge/lowlevel": 0.9,
}
OURS = ("40h/fused", "40h/lowlevel", "40h/semantic", "1h/fused", "1h_scratch/fused")


def checks_of(folder: Path, mismatched: tuple[str, ...]) -> dict[str, Check]:
    """Return the claims on noisy images; the runs `mismatched` have those of other images."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    scenes = [draw_scene(rng) for _ in range(N_IMAGES)]
    pixels = np.stack([render_scene(scene, SIZE) for scene in scenes])
    seen = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float() / 255
    order = torch.from_numpy(np.roll(np.arange(N_IMAGES), 7))
    images, means = {}, {}
    for name, noise in NOISE.items():
        source = seen[order] if name in mismatched else seen
        recons = (source + noise * torch.randn(seen.shape, generator=generator)).clamp(0, 1)
        scores = score_images(recons, seen, {"demo_reader": Reader()}, SETTINGS, scenes)
        path = folder / f"{name.replace('/', '_')}.csv"
        table = scores.per_image.assign(nsd_id=np.arange(N_IMAGES))
        table.to_csv(path, index=False)
        images[f"subj01/{name}"] = path
        means[f"subj01/{name}"] = path.with_name(f"{path.stem}_summary.csv")
        summarise(scores, SETTINGS).to_csv(means[f"subj01/{name}"], index=False)
    runs = Comparisons(ImageScores(images), Summaries(means), SETTINGS)
    found = {check.name: check for check in [*check_scores(runs), *check_orderings(runs)]}
    assert len(found) > 30
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    return checks_of(tmp_path_factory.mktemp("whole"), ())


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    return checks_of(tmp_path_factory.mktemp("broken"), OURS)


def is_better(check: Check) -> bool:
    """Return True for a claim that holds, and for a difference above 0 by its interval."""
    return check.verdict == HOLDS or (check.verdict == COMPARISON and check.low > 0)


def test_whole_the_claims_hold(whole: dict[str, Check]) -> None:
    for name in ("1h_beats_1h_ridge", "40h_beats_40h_ridge", "table1_40h_above_1h"):
        assert name in whole
    assert sum(is_better(check) for check in whole.values()) > 0.5 * len(whole)


def test_with_images_of_others_no_claim_holds(broken: dict[str, Check]) -> None:
    assert {name: str(c.value) for name, c in broken.items() if is_better(c)} == {}
