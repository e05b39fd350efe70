"""Exported models pushed to a stand-in of the hub and loaded from it, byte for byte."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pandas as pd
import pytest
import yaml
from huggingface_hub import HfApi, constants
from tests.hub_server import TOKEN, Hub, serving_hub
from tests.model_files import write_models
from tests.refusals import refused

import brainit
from brainit.commands.export_models import export_models
from brainit.commands.program import run
from brainit.core.settings import RunSettings, Settings, parse_sections
from brainit.models.published import CARD_FILE, FILES, SETTINGS_FILE, push_models

REPOSITORY = "user/brain-it-demo"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Hub]]:
    """Serve a hub, which the client takes for the public one; keep the machine's cache out."""
    with serving_hub() as (url, store):
        template = url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield url, store


def exported(folder: Path, settings: Settings, scored: bool = False) -> Path:
    results = folder / "results"
    models = write_models(results / "group" / "all" / "main")
    if scored:
        path = results / "subj02" / "metrics" / "40h_fused_summary.csv"
        path.parent.mkdir(parents=True)
        rows = {"metric": ["PixCorr", "SSIM"], "mean": [0.4567, 0.5], "ci_low": [0.4, 0.45]}
        pd.DataFrame({**rows, "ci_high": [0.5, 0.55], "n_images": 100}).to_csv(path, index=False)
    export_models(models, folder / "exported", settings, results)
    return folder / "exported"


def metadata_of(folder: Path) -> dict[str, object]:
    return yaml.safe_load((folder / CARD_FILE).read_text().split("---\n")[1])


def test_a_push_and_a_load_give_the_same_bytes(tmp_path: Path, hub: tuple[str, Hub]) -> None:
    _, store = hub
    settings = parse_sections({"dip": {"iterations": 7}, "recon": {"start_step": 3}})
    folder = exported(tmp_path, settings)
    (folder / "notes.txt").write_text("not to be published")
    run(["models", "push", str(folder), REPOSITORY, "--private"])
    assert set(store.files(REPOSITORY)) == {*FILES, SETTINGS_FILE, CARD_FILE}
    assert store.private[REPOSITORY]
    loaded = brainit.load_models(REPOSITORY)
    for name in (*FILES, SETTINGS_FILE):
        assert (loaded.folder / name).read_bytes() == (folder / name).read_bytes()
    assert loaded.subjects == ("subj01", "subj02")
    assert loaded.settings.dip.iterations == 7 and loaded.settings.recon.start_step == 3
    assert list(loaded.decoder("semantic").subjects) == ["subj01", "subj02"]
    assert loaded.reconstructor("subj02").n_voxels == 6
    first = store.newest[REPOSITORY]
    store.commit(REPOSITORY, {SETTINGS_FILE: b"dip: {iterations: 8}\n"})
    assert brainit.load_models(REPOSITORY).settings.dip.iterations == 8
    assert brainit.load_models(folder).settings == loaded.settings
    assert loaded.folder.name == first, "the folder is of one commit"


def test_the_card_has_what_the_hub_reads(tmp_path: Path) -> None:
    real = metadata_of(exported(tmp_path / "real", Settings(), scored=True))
    assert real["library_name"] == "brainit" and real["license"] == "other"
    assert real["datasets"] == ["natural-scenes-dataset"]
    assert real["base_model"] == ["stabilityai/stable-diffusion-xl-base-1.0"]
    assert real["metrics"] == ["PixCorr", "SSIM"]
    ((result,),) = [entry["results"] for entry in real["model-index"]]
    assert "subj02" in result["dataset"]["name"]
    assert result["metrics"][0] == {"type": "PixCorr", "value": 0.4567}
    card = huggingface_hub.ModelCard.load(tmp_path / "real" / "exported" / CARD_FILE)
    assert card.data.eval_results[1].metric_value == 0.5
    assert "| subj02 | PixCorr | 0.457 | 0.400 to 0.500 | 100 |" in card.text
    simulated = Settings(run=RunSettings(simulation=True))
    made_up = metadata_of(exported(tmp_path / "simulated", simulated))
    assert made_up["datasets"] == ["simulated-nsd"] and "metrics" not in made_up


def test_refusals_name_the_repository(
    tmp_path: Path, hub: tuple[str, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, Settings())
    with refused("network", "user/none", "HF_TOKEN"):
        brainit.load_models("user/none")
    with refused("network", "no name", "hub"):
        brainit.load_models("no name")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with refused("network", REPOSITORY, "HF_TOKEN"):
        run(["models", "push", str(folder), REPOSITORY])
    (folder / CARD_FILE).unlink()
    with refused("missing-file", CARD_FILE, "export-models"):
        run(["models", "push", str(folder), REPOSITORY])
    with refused("missing-file", SETTINGS_FILE):
        assert brainit.load_models(tmp_path).settings


def test_without_a_network_both_refuse_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, Settings())
    address = "https://hub.invalid"
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: pytest.fail("the hub is asked"))
    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: pytest.fail("the hub is asked"))
    with refused("network", "user/models", "hub.invalid"):
        brainit.load_models("user/models", endpoint=address)
    with refused("network", REPOSITORY, "hub.invalid"):
        push_models(folder, REPOSITORY, endpoint=address)
