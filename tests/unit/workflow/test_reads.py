"""Each step's declared settings: they exist, and the step's code knows them."""

import ast
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.steps import STEPS
from brainit.workflow.completeness import OF_THE_WORKFLOW, require_complete
from brainit.workflow.digest import PACKAGE, Code
from brainit.workflow.reads import READS, UNTRACKED, settings_json, settings_read

KEYS = {
    f"{name}.{key}"
    for name in Settings.model_fields
    for key in getattr(type(getattr(Settings(), name)), "model_fields", {})
}
CODE = Code(PACKAGE.parent)
BY_KIND = {"train_bit_lowlevel": "train_bit", "train_bit_semantic": "train_bit"}


def test_every_step_has_its_declaration() -> None:
    assert {BY_KIND.get(step, step) for step in READS} == set(STEPS) - {"train_demo_backbones"}


@pytest.mark.parametrize("step", READS)
def test_declared_settings_exist_and_parse(step: str, paper: dict[str, Any]) -> None:
    names = set(READS[step]) | set(OF_THE_WORKFLOW) | UNTRACKED
    assert names <= KEYS | set(Settings.model_fields)
    read = json.loads(settings_json(step, paper))
    assert set(read) == {name.split(".")[0] for name in READS[step]}
    parse_sections(read)


@pytest.mark.parametrize("step", ["download", "prepare_betas", "estimate_noise_ceiling"])
def test_keys_that_are_checked_together_are_passed_together(step: str) -> None:
    config = {"space": "func1pt8mm", "mask": "files", "mask_files": ["{subject}.nii.gz"]}
    keys = [name.partition(".")[2] for name in READS[step]]
    parse_sections({"nsd": {key: config[key] for key in keys if key in config}})


def test_a_section_is_passed_without_what_changes_no_result(paper: dict[str, Any]) -> None:
    report = settings_read("make_report", paper)
    for name in UNTRACKED:
        section, _, key = name.partition(".")
        assert key in paper[section] and key not in report[section]
    assert settings_read("download_images", paper) == {"nsd": {"accept_terms": False}}


@cache
def words_of(module: str) -> frozenset[str]:
    """Return the attributes and strings of a module's code."""
    spec = find_spec(module)
    assert spec and spec.origin
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    strings = {str(n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return frozenset(attributes | {s.rpartition(".")[2] for s in strings})


@pytest.mark.parametrize("step", [step for step in READS if step != "make_report"])
def test_the_step_s_code_names_what_it_declares(step: str, paper: dict[str, Any]) -> None:
    """A setting that no module of the step names is not read: a change would rerun the step.

    `mask_files` is checked together with `mask`.
    """
    covered = CODE.covered(f"brainit.steps.{BY_KIND.get(step, step)}")
    modules = {line.partition(":")[0] for line in covered}
    known = {word for module in modules for word in words_of(module)}
    single = {name.partition(".")[2] for name in READS[step] if "." in name} - {"mask_files"}
    assert not [key for key in single if key not in known]


@pytest.fixture
def schema(repository: Path) -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    return json.loads((repository / "workflow/schemas/config.schema.json").read_text())


def test_a_partial_configuration_names_all_that_is_missing(
    paper: dict[str, Any], schema: dict[str, Any]
) -> None:
    require_complete(paper, schema)
    part = {name: values for name, values in paper.items() if name not in ("lab", "dip")}
    part["joint"] = {k: v for k, v in paper["joint"].items() if k != "processes"}
    with pytest.raises(PipelineError) as error:
        require_complete(part, schema)
    assert error.value.code == "missing-data"
    assert error.value.found == "no dip, joint.processes, lab"
    assert "config/config.yaml" in error.value.fix


def test_a_section_that_is_read_whole_needs_all_its_keys(
    paper: dict[str, Any], schema: dict[str, Any]
) -> None:
    """A step would otherwise miss a setting only when its job runs."""
    part = {**paper, "bit": {"width": 8}}
    part["dip"] = {k: v for k, v in paper["dip"].items() if k != "ema"}
    with pytest.raises(PipelineError) as error:
        require_complete(part, schema)
    assert error.value.code == "missing-data"
    assert error.value.found == "no bit.n_blocks, bit.n_heads, dip.ema"


def test_every_setting_that_a_step_is_passed_is_required(
    paper: dict[str, Any], schema: dict[str, Any]
) -> None:
    passed = {
        f"{section}.{key}"
        for step in READS
        for section, values in settings_read(step, paper).items()
        if isinstance(values, dict)
        for key in values
    }
    required = sorted((passed | set(OF_THE_WORKFLOW)) & KEYS)
    assert len(required) > 100
    for name in required:
        section, _, key = name.partition(".")
        part = {**paper, section: {k: v for k, v in paper[section].items() if k != key}}
        with pytest.raises(PipelineError) as error:
            require_complete(part, schema)
        assert error.value.found == f"no {name}"
