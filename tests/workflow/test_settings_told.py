"""Each rule tells its step the settings that the step reads, no fewer and no more."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainit.core.settings import Settings, parse_sections
from brainit.steps import STEPS

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY
from .settings_read import keys_read
from .test_dry_run import rule_texts

LOWLEVEL, SEMANTIC = (
    [f"{section}.{key}" for key in type(getattr(Settings(), section)).model_fields]
    for section in ("bit_lowlevel", "bit_semantic")
)
TOKENS = ["features.semantic_tokens", "features.halve_contrast", "features.precision"]
OF_OTHER_KIND = {
    "train_bit_lowlevel": [*TOKENS, *SEMANTIC],
    "train_bit_semantic": ["features.vgg", *LOWLEVEL],
    "train_joint": LOWLEVEL,
    "adapt_joint": LOWLEVEL,
    "reconstruct_semantic": LOWLEVEL,
    "reconstruct": LOWLEVEL,
}
"""What the functions that both kinds of BIT share read for the other kind."""
BY_FLAG = {"nsd.connections"}
MASK = {"nsd.space", "nsd.mask", "nsd.mask_files"}
"""Checked together when settings are read."""
EDITS: dict[str, dict[str, Any]] = {
    "features": {"metrics": ["demo_resnet", "demo_vit"], "refiner": "demo_unclip"},
    "nsd": {"ceiling_tolerance_pct": 3.0},
    "dip": {"iterations": 4},
    "transfer": {"epochs": 3},
}
TABLES = {"make_tables", "make_report"}


def told(repository: Path) -> dict[str, set[str]]:
    """Return rule -> `section.key` of all settings it tells, from the text of the rules."""
    names: dict[str, Any] = {}
    paths = sorted((repository / "workflow/rules").glob("*.smk"), reverse=True)
    lists = r"^[A-Z_0-9]+ = (?:\[.*\]|[\[{]\n(?: +.*\n)+[\]}])$"
    for constant in re.findall(lists, "".join(p.read_text() for p in paths), re.M):
        with suppress(NameError):
            exec(constant, names)  # noqa: S102 - the rules are no module that could be imported
    found = {}
    for rule, text in rule_texts(repository).items():
        given = re.search(r"settings=(settings\(.*?\)),\n +code=", text, re.S)
        if given:
            names["settings"] = lambda *words: words
            found[rule] = expanded(eval(given[1], names), names["HIDDEN"])  # noqa: S307
    return found


def expanded(words: tuple[str, ...], hidden: set[str]) -> set[str]:
    """Return all keys of whole sections, and single ones."""
    found = {word for word in words if "." in word}
    for section in set(words) - found:
        fields = type(getattr(Settings(), section)).model_fields
        found |= {f"{section}.{key}" for key in fields} - hidden
    return found


@pytest.mark.parametrize("step", sorted(set(STEPS) - {"train_demo_backbones"}))
def test_a_step_is_told_what_it_reads_and_nothing_else(step: str, repository: Path) -> None:
    read = keys_read(step) - set(OF_OTHER_KIND.get(step, ())) - BY_FLAG
    expected = read | (MASK if read & MASK else set())
    given = told(repository)[step]
    assert not expected - given, "name these in the rule: untold they have the paper's values"
    if step != "make_report":
        assert not given - expected, "leave these out of the rule: a change would rerun it"


@pytest.mark.parametrize("rule", ["download", "prepare_betas", "estimate_noise_ceiling"])
def test_keys_that_are_checked_together_are_told_together(rule: str, repository: Path) -> None:
    config = {"space": "func1pt8mm", "mask": "files", "mask_files": ["{subject}.nii.gz"]}
    keys = [name.partition(".")[2] for name in told(repository)[rule]]
    parse_sections({"nsd": {key: config[key] for key in keys if key in config}})


def test_a_key_changes_the_commands_of_its_readers_alone(
    snakemake: Run, dry_run: DryRun, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(EDITS))
    result = snakemake("all", *DRY, *DEMO, str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    plain, edited = jobs_settings(dry_run("all", *DEMO)), jobs_settings(result.stdout)
    readers: dict[str, set[str]] = {}
    for rule, settings in plain.items():
        for section in set(settings) - {"models"}:
            before, after = settings[section], edited[rule][section]
            for key in [key for key in before if before[key] != after[key]]:
                readers.setdefault(f"{section}.{key}", set()).add(rule)
    assert readers == {
        "features.metrics": {"evaluate", "check_results", *TABLES},
        "features.refiner": {"reconstruct_semantic", "reconstruct", *TABLES},
        "nsd.ceiling_tolerance_pct": {"estimate_noise_ceiling", *TABLES},
        "dip.iterations": {"reconstruct_lowlevel", *TABLES},
        "transfer.epochs": {"adapt_bit", *TABLES},
    }


def jobs_settings(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return step -> settings that the jobs of a dry run tell it."""
    found = re.findall(r"-m brainit\.steps\.(\w+) .*--settings '(.*?)'", text)
    return {step: json.loads(settings) for step, settings in found}
