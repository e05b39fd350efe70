"""Exported models: model files, settings and card are read back as they were."""

from pathlib import Path

import pytest
import yaml
from tests.model_files import write_models

from brainit.commands.export_models import (
    FILES,
    export_models,
    read_model_attributes,
    shared_settings,
)
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.settings import RunSettings, Settings, parse_sections
from brainit.models.brain_transformer import load_bit


def test_the_export_is_read_again_as_it_was(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    export_models(models, tmp_path / "out", Settings(run=RunSettings(simulation=True)))
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (models / name).read_bytes()
    assert read_model_attributes(tmp_path / "out") == read_model_attributes(models)
    bit = load_bit(tmp_path / "out" / "joint/bit.safetensors")
    assert bit.kind == "semantic" and list(bit.subjects) == ["subj01", "subj02"]


def test_settings_are_those_that_decoding_shares_without_paths_or_terms(tmp_path: Path) -> None:
    settings = parse_sections(
        {
            "nsd": {"accept_terms": True, "space": "func1pt8mm", "mask": "nsdgeneral"},
            "paths": {"results": "/scratch/somebody"},
            "bit": {"width": 64},
        }
    )
    export_models(write_models(tmp_path / "models"), tmp_path / "out", settings)
    text = (tmp_path / "out" / "config.yaml").read_text()
    assert "accept_terms" not in text and "somebody" not in text
    again = parse_sections(yaml.safe_load(text))
    assert again.bit == settings.bit and again.features == settings.features
    assert again.nsd.mask == "nsdgeneral" and not again.nsd.accept_terms
    assert shared_settings(again) == shared_settings(settings)


def test_the_card_has_content_origin_and_terms(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    export_models(models, tmp_path / "real", Settings())
    card = (tmp_path / "real" / "README.md").read_text()
    assert "subj01, subj02" in card and "cite Allen" in card and "unclip6" in card
    assert "not established" in card and "license: other" in card
    for name in FILES:
        assert sha256_of(models / name) in card
    export_models(models, tmp_path / "simulated", Settings(run=RunSettings(simulation=True)))
    card = (tmp_path / "simulated" / "README.md").read_text()
    assert "**simulation**" in card and "Allen" not in card


def test_inconsistent_models_are_not_exported(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    other = write_models(tmp_path / "other", {"subj01": 6, "subj02": 5})
    (models / "joint/bit.safetensors").write_bytes((other / "joint/bit.safetensors").read_bytes())
    with pytest.raises(PipelineError) as error:
        export_models(models, tmp_path / "out", Settings())
    assert error.value.code == "inconsistent-inputs"
    assert error.value.where == str(models / "joint/bit.safetensors")
    assert "n_voxels" in error.value.expected and "'subj01': 6" in error.value.found
    (models / "joint/bit.safetensors").unlink()
    with pytest.raises(PipelineError) as error:
        export_models(models, tmp_path / "out", Settings())
    assert error.value.code == "missing-file"
    assert error.value.where == str(models / "joint/bit.safetensors")
    assert not (tmp_path / "out").exists()
    with pytest.raises(PipelineError) as error:
        export_models(other, tmp_path / "models", Settings())
    assert error.value.code == "invalid-argument"
    assert error.value.where == str(tmp_path / "models")
