"""Notes on settings smaller than or different from their sources, and on what the sources say."""

from pathlib import Path

import pytest
import yaml

from brainit.core.settings import Settings, parse_sections
from brainit.evaluation.tables.sources import (
    OTHERS,
    SECTIONS,
    SOURCES,
    chosen_between_sources,
    chosen_by_us,
    different_from_sources,
    smaller_than_sources,
)


def test_the_defaults_differ_in_nothing() -> None:
    assert smaller_than_sources(Settings()) == different_from_sources(Settings()) == ()


@pytest.mark.parametrize(
    ("section", "key", "value", "phrase"),
    [
        ("encoder", "epochs", 3, "encoder epochs 3 (C: 30)"),
        ("dip", "width", 8, "dip.width 8 (P, C: 128)"),
        ("joint", "max_steps", 80, "stage-2 steps at most 80 (C: all)"),
        ("images", "n_external", 1_000, "external images 1,000 (P, C: all)"),
        ("nsd", "subjects", ["subj01", "subj02"], "subjects that train 2 (P, C: 8)"),
        ("joint", "accumulation", 2, "stage-2 batch 32 (P, C: 64)"),
        ("features", "metrics", ["alexnet"], "networks that score 1 (P, C: 6)"),
        ("evaluation", "pixel_size", 128, "evaluation.pixel_size 128 (C, MindEye2: 425)"),
        ("recon", "n_steps", 12, "diffusion schedule steps 12 (C: 50; P: 38)"),
        ("dip", "size", 32, "DIP image side in pixels 32 (C: 224; P: 112)"),
        ("dip", "iterations", 110, "DIP iterations 110 (P: 2,000; C: 1,800)"),
        ("evaluation", "retrieval_pool", 9, "images of a retrieval pool 9 (MindEye2: 300)"),
        ("evaluation", "n_bootstrap", 10, "evaluation.n_bootstrap 10 (ours: 1,000)"),
    ],
)
def test_a_smaller_count_is_told(section: str, key: str, value: object, phrase: str) -> None:
    settings = parse_sections({section: {key: value}})
    assert smaller_than_sources(settings) == (phrase,)
    assert different_from_sources(settings) == ()


def test_queries_are_smaller_where_one_layer_has_fewer() -> None:
    few = {"bit_lowlevel": {"batch": 64, "queries_per_layer": [512, 512, 128, 64, 4]}}
    (phrase,) = smaller_than_sources(parse_sections(few))
    assert phrase.endswith("queries_per_layer 512/512/128/64/4 (P, C: 512/512/128/64/16)")


@pytest.mark.parametrize(
    ("section", "key", "value", "phrase"),
    [
        ("features", "refiner", "none", "features.refiner none (C: zavychromaxl_v30)"),
        ("dip", "lr", 0.005, "dip.lr 0.005 (C: 0.001)"),
        ("synthesis", "enabled", False, "synthesis.enabled no (P, C: yes)"),
        ("encoder", "epochs", 40, "encoder epochs 40 (C: 30)"),
        ("recon", "contrast", 1.0, "contrast of the unCLIP's images 1.0 (C: 0.8)"),
        ("recon", "max_images", None, None),
        ("dip", "chunk", 4, None),
    ],
)
def test_any_other_choice_is_told(
    section: str, key: str, value: object, phrase: str | None
) -> None:
    settings = parse_sections({section: {key: value}})
    assert different_from_sources(settings) == (() if phrase is None else (phrase,))
    assert smaller_than_sources(settings) == ()


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("gpu_24gb", "joint.unet_weights cross_attention (P, C: all)"),
        ("gpu_48gb", "joint.optimizer adafactor (P, C: adamw)"),
    ],
)
def test_what_small_gpus_change_is_told(repository: Path, name: str, phrase: str) -> None:
    base = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    for section, keys in yaml.safe_load((repository / f"config/{name}.yaml").read_text()).items():
        base[section].update(keys)
    assert different_from_sources(parse_sections(base)) == (phrase,)


def test_a_simulation_is_held_against_nsd() -> None:
    told = "; ".join(smaller_than_sources(parse_sections({"run": {"simulation": True}})))
    assert "own images of a subject 900 (NSD: 9,000)" in told
    assert "external images 2,000 (P: 120,000)" in told


def test_a_full_run_tells_where_its_sources_differ() -> None:
    told = chosen_between_sources(Settings())
    assert len(told) == len(OTHERS)
    assert "diffusion schedule steps 50 (C; P: 38)" in told
    assert "DIP iterations 2,000 (P; C: 1,800)" in told
    assert "joint.unconditional_share 0.1" in chosen_by_us(Settings())
    changed = parse_sections({"recon": {"n_steps": 38}, "joint": {"unconditional_share": 0.2}})
    assert not any("schedule" in phrase for phrase in chosen_between_sources(changed))
    assert not any("unconditional" in phrase for phrase in chosen_by_us(changed))
    assert "diffusion schedule steps 38 (C: 50; P: 38)" in smaller_than_sources(changed)


def test_every_source_is_of_a_setting_that_exists() -> None:
    default = Settings()
    known = {f"{s}.{key}" for s in SECTIONS for key in type(getattr(default, s)).model_fields}
    assert SOURCES.keys() | OTHERS.keys() <= known
