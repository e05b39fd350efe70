"""Each rule passes its step the settings that the step reads, and no others."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY

EDITS: dict[str, dict[str, Any]] = {
    "features": {"metrics": ["demo_resnet", "demo_vit"], "refiner": "demo_unclip"},
    "nsd": {"ceiling_tolerance_pct": 3.0},
    "dip": {"iterations": 4},
    "transfer": {"epochs": 3},
}
TABLES = {"make_table", "make_report"}


def test_a_key_changes_the_commands_of_its_readers_alone(
    snakemake: Run, dry_run: DryRun, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(EDITS))
    result = snakemake("all", *DRY, *DEMO, str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    plain, edited = jobs_settings(dry_run("all", *DEMO)), jobs_settings(result.stdout)
    readers: dict[str, set[str]] = {}
    for (rule, kind), settings in plain.items():
        for section in set(settings) - {"models"}:
            before, after = settings[section], edited[rule, kind][section]
            for key in [key for key in before if before[key] != after[key]]:
                readers.setdefault(f"{section}.{key}", set()).add(rule)
    assert readers == {
        "features.metrics": {"extract_true_features", "evaluate", "check_results", *TABLES},
        "features.refiner": {"reconstruct_semantic", "reconstruct_fused", *TABLES},
        "nsd.ceiling_tolerance_pct": {"estimate_noise_ceiling", *TABLES},
        "dip.iterations": {"reconstruct_lowlevel", *TABLES},
        "transfer.epochs": {"adapt_bit", *TABLES},
    }


def jobs_settings(text: str) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """Return (step, kind of BIT) -> settings in the commands of a dry run."""
    pattern = r"-m brainit\.steps\.(\w+)(?: --kind (\w+))? .*--settings '(.*?)'"
    found = re.findall(pattern, text)
    return {(step, kind): json.loads(settings) for step, kind, settings in found}
