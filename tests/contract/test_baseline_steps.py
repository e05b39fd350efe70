"""The steps of the baselines write their contracts; bad inputs end in the project's error."""

import base64
import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.baseline_subject import SETTINGS, TEST, write_subject
from tests.refusals import refused

from brainit.api.results import model_files
from brainit.core.settings import Settings
from brainit.core.shards import INDEX_NAME
from brainit.data.recons import read_recons
from brainit.models.baselines.predictions import StoredPredictions
from brainit.report import image_grids, style
from brainit.report.browser import image_browser
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


@pytest.mark.parametrize("is_private", [False, True])
def test_private_images_are_shown_nowhere_as_the_nearest(
    folder: Path, is_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in PNG files, montage, grids and browser; scores still need the picked images."""
    index = json.loads((folder / "stimuli" / INDEX_NAME).read_text())
    index["attributes"]["private"] = is_private
    (folder / "stimuli" / INDEX_NAME).write_text(json.dumps(index))
    out = folder / "recon"
    pick_nearest.main(words(folder, "pick_nearest", "--out", str(out)))
    recons = read_recons(out)
    assert np.ptp(recons.images["fused"]) > 200
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(style.Axes, "imshow", lambda self, x, **options: drawn.append(x))
    runs = {"subj02/40h_knn": recons}
    image_grids.draw_first_images(runs, folder / "stimuli", folder / "first.png", True)
    scores = folder / "scores.csv"
    pd.DataFrame({"nsd_id": list(TEST), "PixCorr": range(5)}).to_csv(scores, index=False)
    name, files = next(iter(runs)), (scores, folder / "stimuli", folder / "ranked.png")
    image_grids.draw_ranked_images(name, recons, *files, True)
    assert len(drawn) == 2 * 5 + 2 * 3
    browser = image_browser({name: out}, {f"{name}/fused": scores}, folder / "stimuli")
    urls = [picture.url for card in browser.cards for picture in card.pictures]
    assert len(urls) == 10
    drawn += [opened(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]
    drawn += [opened(path) for path in (out / "images").iterdir()]
    drawn.append(opened(out / "montage.png")[40 + 4 : 40 + 100, 4 + 116 + 4 : 4 + 116 + 100])
    assert {bool(np.ptp(picture) == 0) for picture in drawn} == {is_private}


def opened(file: Path | io.BytesIO) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


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
