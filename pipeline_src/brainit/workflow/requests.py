"""Resource requests of the rules, for profiles.

An expression in a profile can't see the other resources of a job, so `profiles/slurm` gives
partition, constraint and signals to rules by name. The names come from the rules themselves.
"""

import re
import shutil
from pathlib import Path

from brainit.core.errors import PipelineError

RULES = Path("workflow/rules")
_HEAD = re.compile(
    r"^[ \t]*(?:rule (?P<rule>\w+)|use rule (?P<base>\w+) as (?P<copy>\w+) with):", re.MULTILINE
)

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
