"""Notes on settings smaller than or different from the paper's."""

from pathlib import Path

import pytest
import yaml

from brainit.core.settings import Settings, parse_sections
from brainit.evaluation.tables.notes import different_from_paper, smaller_than_paper


def test_the_papers_values_differ_in_nothing() -> None:
    assert smaller_than_paper(Settings()) == different_from_paper(Settings()) == ()


@pytest.mark.parametrize(
    ("section", "key", "value", "phrase"),
    [
        ("encoder", "epochs", 3, "encoder epochs 3 (paper: 30)"),
        ("dip", "width", 8, "dip.width 8 (paper: 128)"),
        ("joint", "max_steps", 80, "stage-2 steps at most 80 (paper: all)"),
        ("images", "n_external", 1_000, "external images 1,000 (paper: all)"),
        ("nsd", "subjects", ["subj01", "subj02"], "subjects that train 2 (paper: 8)"),
        ("joint", "accumulation", 2, "stage-2 batch 32 (paper: 64)"),
        ("features", "metrics", ["alexnet"], "networks that score 1 (paper: 6)"),
        ("evaluation", "pixel_size", 128, "evaluation.pixel_size 128 (paper: 425)"),
    ],
)
def test_a_smaller_count_is_told(section: str, key: str, value: object, phrase: str) -> None:
    settings = parse_sections({section: {key: value}})
    assert smaller_than_paper(settings) == (phrase,)
    assert different_from_paper(settings) == ()


def test_queries_are_smaller_where_one_layer_has_fewer() -> None:
    few = {"bit_lowlevel": {"batch": 64, "queries_per_layer": [512, 512, 128, 64, 4]}}
    (phrase,) = smaller_than_paper(parse_sections(few))
    assert phrase.endswith("queries_per_layer 512/512/128/64/4 (paper: 512/512/128/64/16)")


@pytest.mark.parametrize(
    ("section", "key", "value", "phrase"),
    [
        ("features", "refiner", "none", "features.refiner none (paper: zavychromaxl_v30)"),
        ("dip", "lr", 0.005, "dip.lr 0.005 (paper: 0.001)"),
        ("synthesis", "enabled", False, "synthesis.enabled no (paper: yes)"),
        ("encoder", "epochs", 40, "encoder epochs 40 (paper: 30)"),
        ("recon", "max_images", None, None),
        ("dip", "chunk", 4, None),
    ],
)
def test_any_other_choice_is_told(
    section: str, key: str, value: object, phrase: str | None
) -> None:
    settings = parse_sections({section: {key: value}})
    assert different_from_paper(settings) == (() if phrase is None else (phrase,))
    assert smaller_than_paper(settings) == ()


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("gpu_24gb", "joint.unet_weights cross_attention (paper: all)"),
        ("gpu_48gb", "joint.optimizer adafactor (paper: adamw)"),
    ],
)
def test_what_small_gpus_change_is_told(repository: Path, name: str, phrase: str) -> None:
    base = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    for section, keys in yaml.safe_load((repository / f"config/{name}.yaml").read_text()).items():
        base[section].update(keys)
    assert different_from_paper(parse_sections(base)) == (phrase,)


def test_a_simulation_is_held_against_nsd() -> None:
    told = "; ".join(smaller_than_paper(parse_sections({"run": {"simulation": True}})))
    assert "own images of a subject 900 (paper: 9,000)" in told
    assert "external images 2,000 (paper: 120,000)" in told
