"""Settings: the shipped files are in sync with the classes; errors name every faulty key."""

import json
import re
from pathlib import Path

import pytest
import yaml

from brainit.commands.schema import CONFIG_PATH, SCHEMA_PATH, config_text, schema_text
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections

REPAIR = "run `brainit schema` (make schema) and commit the files that it writes"


def merged(base: dict[str, dict[str, object]], over: dict[str, dict[str, object]]) -> dict:
    plain = {name: value for name, value in base.items() if not isinstance(value, dict)}
    sections = {*base, *over} - set(plain)
    return plain | {name: {**base.get(name, {}), **over.get(name, {})} for name in sections}


def test_config_file_is_in_sync_with_the_classes(repository: Path) -> None:
    assert (repository / CONFIG_PATH).read_text() == config_text(), REPAIR


def test_schema_is_in_sync_with_the_classes(repository: Path) -> None:
    assert (repository / SCHEMA_PATH).read_text() == schema_text(), REPAIR


def test_config_file_holds_every_default(repository: Path) -> None:
    values = yaml.safe_load((repository / CONFIG_PATH).read_text())
    assert parse_sections(values) == Settings()


@pytest.mark.parametrize("name", ["demo.yaml", "demo-full.yaml"])
def test_shipped_overrides_are_valid(repository: Path, name: str) -> None:
    base = yaml.safe_load((repository / CONFIG_PATH).read_text())
    demo = yaml.safe_load((repository / "config" / "demo.yaml").read_text())
    values = merged(base, demo)
    if name != "demo.yaml":
        path = repository / "config" / name
        if not path.is_file():
            pytest.skip(f"{name} is not shipped")
        values = merged(values, yaml.safe_load(path.read_text()))
    assert parse_sections(values).run.simulation


OF_LOWLEVEL_ALONE = {
    "queries_per_layer": [8, 8, 8, 8, 8],
    "decoder": "mlp",
    "mlp_width": 10,
    "loss": "mse",
    "similarity": "cosine",
    "temperature": 0.1,
    "calibration": "affine",
    "logit_rows": 10,
    "logit_precision": "bfloat16",
}


@pytest.mark.parametrize("key", OF_LOWLEVEL_ALONE)
def test_keys_of_the_lowlevel_bit_are_refused_for_the_semantic_one(key: str) -> None:
    given = {key: OF_LOWLEVEL_ALONE[key]}
    assert parse_sections({"bit_lowlevel": given}) != Settings()
    with pytest.raises(PipelineError) as error:
        parse_sections({"bit_semantic": given})
    assert error.value.code == "invalid-setting"
    assert f"bit_semantic.{key}" in error.value.found


def test_the_bits_share_all_other_keys_and_keep_their_batches() -> None:
    lowlevel, semantic = Settings().bit_lowlevel, Settings().bit_semantic
    shared = {"calibration"}  # in both, with another value each
    assert set(type(lowlevel).model_fields) - set(type(semantic).model_fields) == (
        set(OF_LOWLEVEL_ALONE) - shared
    )
    assert (lowlevel.batch, semantic.batch) == (64, 128)
    partly = parse_sections({"bit_lowlevel": {"epochs": 1}, "bit_semantic": {"epochs": 1}})
    assert (partly.bit_lowlevel.batch, partly.bit_semantic.batch) == (64, 128)


OF_THE_METHOD = {24: {"unet_weights", "width"}, 48: {"optimizer", "width"}, 80: set()}
"""Settings of an overlay that are not sizes; its comments name them (the width is a peer's)."""


@pytest.mark.parametrize("size_gb", OF_THE_METHOD)
def test_gpu_overlays_are_valid_and_keep_the_method(repository: Path, size_gb: int) -> None:
    text = (repository / "config" / f"gpu_{size_gb}gb.yaml").read_text()
    overlay = yaml.safe_load(text)
    base = yaml.safe_load((repository / CONFIG_PATH).read_text())
    settings = parse_sections(merged(base, overlay))
    assert settings != Settings(), "an overlay overrides something"
    changed = {
        (section, key)
        for section, keys in overlay.items()
        for key, value in keys.items()
        if value != Settings().model_dump()[section][key]
    }
    assert len(changed) == sum(len(keys) for keys in overlay.values()), "no key without effect"
    sizes = {"batch", "accumulation", "gradient_checkpointing", "logit_rows", "chunk"}
    assert {key for _, key in changed} - sizes == OF_THE_METHOD[size_gb]
    assert settings.joint.batch * settings.joint.accumulation == 64
    assert settings.bit_lowlevel.batch == 64, "the pool of the InfoNCE"
    estimates = dict(re.findall(r"^# \| (\w[\w ]*) \| (\d+) \|", text, flags=re.MULTILINE))
    assert len(estimates) == 6 and all(int(n_gb) < size_gb for n_gb in estimates.values())
    assert "ESTIMATES" in text and f"{size_gb} GB" in text


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"encoder": {"lrr": 0.1}}, "encoder.lrr"),
        ({"encoder": {"lr": "3e-4"}}, "encoder.lr"),
        ({"encoder": {"lr": -1.0}}, "encoder.lr"),
        ({"nsd": {"subjects": ["subj09"]}}, "nsd.subjects.0"),
        ({"nsd": {"accept_terms": "yes"}}, "nsd.accept_terms"),
        ({"clusterss": {}}, "clusterss"),
        ({"dip": {"iterations": 0}}, "dip.iterations"),
    ],
)
def test_unknown_or_mistyped_key_is_named(sections: dict, named: str) -> None:
    with pytest.raises(PipelineError, match="expected .* found .* Fix: ") as error:
        parse_sections(sections)
    assert error.value.code == "invalid-setting" and named in error.value.found


def test_all_faults_are_in_one_error() -> None:
    with pytest.raises(PipelineError) as error:
        parse_sections({"encoder": {"lr": "x", "batch": 0}, "dip": {"unknown": 1}})
    assert error.value.code == "invalid-setting"
    assert all(key in error.value.found for key in ("encoder.lr", "encoder.batch", "dip.unknown"))


def test_floats_of_the_config_file_are_floats_in_yaml() -> None:
    sections = yaml.safe_load(config_text()).values()
    for section in sections:
        for key, value in section.items() if isinstance(section, dict) else ():
            assert not (isinstance(value, str) and value[:1].isdigit() and "e-" in value), key


def test_schema_refuses_what_the_classes_refuse() -> None:
    schema = json.loads(schema_text())
    assert schema["additionalProperties"] is False
    objects = [part for part in schema["$defs"].values() if part["type"] == "object"]
    assert len(objects) > 10
    assert all(part.get("additionalProperties") is False for part in objects)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("methods", []),
        ("methods", ["mindeye2", "mindbridge", "mindeye2"]),
        ("durations", ["2h", "2h"]),
    ],
)
def test_peers_are_named_once(key: str, values: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        parse_sections({"peers": {key: values}})
    assert error.value.code == "invalid-setting" and "peers" in error.value.found
