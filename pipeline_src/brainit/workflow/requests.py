"""Resource requests of the rules, for profiles.

An expression in a profile can't see the other resources of a job, so `profiles/slurm` gives
partition, constraint and signals to rules by name. The names come from the rules themselves.
"""

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError

RULES = Path("workflow/rules")
_HEAD = re.compile(
    r"^[ \t]*(?:rule (?P<rule>\w+)|use rule (?P<base>\w+) as (?P<copy>\w+) with):", re.MULTILINE
)

_EXTRA = "slurm_extra"
SUBMITTERS = {"slurm": "sbatch"}
"""The program with which an executor submits jobs."""


def require_submitter(executor: str) -> None:
    """Raise `PipelineError` where the program is missing with which `executor` submits jobs."""
    program = SUBMITTERS.get(executor, "")
    if program and not shutil.which(program):
        raise PipelineError(
            f"the executor {executor}",
            f"the command {program}",
            "none in PATH",
            f"start Snakemake on a login node of the cluster, where `{program} --version` works;"
            " or leave out --profile and --executor, to run the jobs on this machine",
            code="not-installed",
        )


def require_extra_kept(
    of_all: Mapping[str, Any] | None,
    of_rules: Mapping[str, Mapping[str, Any]],
    trainings: Collection[str],
) -> None:
    """Raise `PipelineError` where a training's `slurm_extra` replaces the one that all rules get.

    `of_all` are Snakemake's `--default-resources`, `of_rules` its `--set-resources`, which replace
    each other and do not add up. Rules that an outer workflow adds are its own concern.
    """
    default = _extra_of(of_all or {})
    lost = [rule for rule, own in of_rules.items() if rule in trainings and _EXTRA in own]
    lost = [rule for rule in lost if default not in _extra_of(of_rules[rule])]
    if lost:
        raise PipelineError(
            "default-resources",
            "options of sbatch that each rule keeps",
            f"slurm_extra {default!r}, which {len(lost)} rules replace by their own"
            f" ({', '.join(lost[:3])}, ...)",
            "write it as `extra` under __variables__ of profiles/slurm/config.yaml, which adds it"
            " to the trainings' signal; for a QOS use `qos` there",
            code="invalid-setting",
        )


def _extra_of(resources: Mapping[str, Any]) -> str:
    if _EXTRA not in resources:
        return ""
    value = resources[_EXTRA]
    return str(getattr(value, "raw", value)).strip("'\" ")


def rules_requesting(resource: str, folder: Path = RULES) -> list[str]:
    """Return the rules of `folder` that request `resource`, and those made of them by `use rule`.

    Raises `PipelineError` where `folder` holds no rules: the profile is for the repository's root.
    """
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("[0-9]*.smk")))
    if not text:
        raise PipelineError(
            folder.absolute(),
            "the rules of the workflow",
            "none",
            "start Snakemake with this profile at the root of the repository",
            code="missing-file",
        )
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    requesting: list[str] = []
    for head, end in zip(heads, ends, strict=True):
        block = text[head.end() : end]
        if head["base"] in requesting or re.search(rf"^\s+{resource}=", block, re.MULTILINE):
            requesting.append(head["rule"] or head["copy"])
    return requesting
