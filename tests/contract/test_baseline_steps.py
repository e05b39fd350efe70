"""The steps of the baselines write their contracts; bad inputs end in the project's error."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.baseline_subject import SETTINGS, TEST, write_subject
from tests.refusals import refused

from brainit.api.results import model_files
from brainit.core.settings import Settings
from brainit.data.recons import read_recons
from brainit.models.baselines.predictions import StoredPredictions
from brainit.simulation.scenes import draw_scene, scene_to_dict
from brainit.steps import draw_places, pick_nearest, predict_ridge
from brainit.workflow.reads import settings_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_subject(tmp_path)
    generator = np.random.default_rng(0)
    scenes = {str(number): scene_to_dict(draw_scene(generator)) for number in range(24)}
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "scenes.json").write_text(json.dumps(scenes))
    return tmp_path


def words(folder: Path, step: str, *more: str, settings: Settings = SETTINGS) -> list[str]:
    config = settings.model_dump(mode="json")
    files = ["--betas", str(folder / "betas.npy"), "--trials", str(folder / "trials.csv")]
    files += ["--stimuli", str(folder / "stimuli"), "--duration", "40h"]
    if step == "draw_places":
        files = [*files[2:6], "--truth", str(folder / "truth")]
    common = ["--subject", "subj02", "--settings", settings_json(step, config)]
    return [*common, *files, *more]


def test_ridge_writes_predictions_and_again_the_same(folder: Path) -> None:
    for out in ("one", "two"):
        more = ("--kind", "semantic", "--tokens", str(folder / "tokens"), "--out")
        predict_ridge.main(words(folder, "predict_ridge", *more, str(folder / out)))
    stored = StoredPredictions(folder / "one", "subj02", "semantic")
    assert stored.nsd_id.tolist() == list(TEST)
    for path in (folder / "one").iterdir():
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes()
    lowlevel = ("--kind", "lowlevel", "--new-subject", "--out", str(folder / "low"))
    predict_ridge.main(words(folder, "predict_ridge", *lowlevel))
    assert StoredPredictions(folder / "low", "subj02", "lowlevel").network == "pixels"


@pytest.mark.parametrize(
    ("module", "step", "run"),
    [(pick_nearest, "pick_nearest", "40h_knn"), (draw_places, "draw_places", "40h_place_only")],
)
def test_picked_and_drawn_images_are_a_run_without_models(
    folder: Path, module: ModuleType, step: str, run: str
) -> None:
    module.main(words(folder, step, "--out", str(folder / "recon")))
    recons = read_recons(folder / "recon")
    assert recons.nsd_id.tolist() == list(TEST) and list(recons.images) == ["fused"]
    assert (recons.provenance["run"], recons.provenance["models"]) == (run, {})
    with refused("invalid-argument", "no models"):
        model_files(folder, recons.provenance["models"])


def test_faults_of_the_inputs(folder: Path) -> None:
    out = ("--kind", "semantic", "--tokens", str(folder / "tokens"), "--out", str(folder / "out"))
    with refused("missing-file", "betas.npy"):
        (folder / "betas.npy").rename(folder / "gone.npy")
        predict_ridge.main(words(folder, "predict_ridge", *out))
    np.save(folder / "betas.npy", np.zeros_like(np.load(folder / "gone.npy")))
    with refused("bad-values", "0 voxels"):
        predict_ridge.main(words(folder, "predict_ridge", *out))
    (folder / "gone.npy").replace(folder / "betas.npy")
    with refused("missing-file", "tokens"):
        (folder / "tokens").rename(folder / "no_tokens")
        predict_ridge.main(words(folder, "predict_ridge", *out))
    table = (folder / "trials.csv").read_text()
    (folder / "trials.csv").write_text(table.replace(",val\n", ",unused\n"))
    with refused("missing-data", "val"):
        predict_ridge.main(words(folder, "predict_ridge", *out))
    with refused("missing-file", "stimuli"):
        (folder / "stimuli").rename(folder / "no_stimuli")
        pick_nearest.main(words(folder, "pick_nearest", "--out", str(folder / "o")))
    (folder / "truth" / "scenes.json").write_text("{}")
    with refused("missing-data", "19"):
        draw_places.main(words(folder, "draw_places", "--out", str(folder / "o")))
    assert not (folder / "out").exists() and not (folder / "o").exists()
