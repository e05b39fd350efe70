"""Dry runs of the workflow: the jobs that Snakemake would run for a target."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from brainit.core.errors import PipelineError

_HEAD = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):$")
_ITEM = re.compile(r"    (wildcards|log|benchmark|input|output|resources): (.*)$")
_COMMAND = re.compile(r"Shell command: (.* -m .*)$")
_STEP = re.compile(r"-m brainit\.steps\.(\w+)")
_SNAKEMAKE = "import gc, sys; gc.disable(); from snakemake.cli import main; main(sys.argv[1:])"
"""Snakemake as `python -m snakemake`; without garbage collection a dry run takes a sixth less."""


@dataclass(frozen=True)
class Job:
    """One job of a dry run: rule, wildcards, files, command, and the resources that it requests.

    A job without `log` is an alias of others, such as `all`.
    """

    rule: str
    wildcards: tuple[tuple[str, str], ...] = ()
    log: str = ""
    benchmark: str = ""
    outputs: tuple[str, ...] = ()
    mem_mb: float | None = None
    runtime_min: float | None = None
    inputs: tuple[str, ...] = ()
    command: str = ""
    n_gpus: int = 0

    def wildcard(self, name: str) -> str:
        """Return the value of a wildcard; empty where the job has none of this name."""
        return dict(self.wildcards).get(name, "")

    @property
    def subject(self) -> str:
        """The subject of the job; empty where it has none."""
        return self.wildcard("subject")

    @property
    def label(self) -> str:
        """The rule, and the kind of BIT that it trains: `train_bit semantic`."""
        return " ".join(word for word in (self.rule, self.wildcard("kind")) if word)

    @property
    def step(self) -> str:
        """The step that the job runs, and the kind of BIT; the rule where no command is known.

        Several rules may run one step: `synthesize_fmri_pool` runs `synthesize_fmri`.
        """
        found = _STEP.search(self.command)
        return " ".join(x for x in (found[1] if found else self.rule, self.wildcard("kind")) if x)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the job's command gives its step; none without a command."""
        words = shlex.split(self.command)
        if "--settings" not in words:
            return {}
        read: dict[str, Any] = json.loads(words[words.index("--settings") + 1])
        return read


def dry_run(target: str, configfiles: Sequence[Path], *options: str) -> list[Job]:
    """Return the jobs that Snakemake would run for `target`, with more command-line `options`.

    Finished jobs are left out. Raises `PipelineError` with Snakemake's last line
    where it refuses target or configuration.
    """
    with running_dry_run(target, configfiles, *options) as jobs:
        return jobs()


@contextmanager
def running_dry_run(
    target: str, configfiles: Sequence[Path], *options: str
) -> Iterator[Callable[[], list[Job]]]:
    """Start a dry run; yield the function that waits for its jobs; see `dry_run`."""
    words = [target, "--dry-run", "--nolock", "--cores", "1", "--printshellcmds", *options]
    if configfiles:
        words += ["--configfile", *map(str, configfiles)]
    command = [sys.executable, "-c", _SNAKEMAKE, *words, "--nocolor"]
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)

    def jobs() -> list[Job]:
        text = "".join(process.communicate())
        if process.returncode:
            raise PipelineError(
                target,
                "a target and a configuration that Snakemake accepts",
                (text.strip().splitlines() or ["no message"])[-1],
                f"correct what `{' '.join(['snakemake', *words])}` reports",
                code="invalid-argument",
            )
        return parse_jobs(text)

    with process:
        try:
            yield jobs
        finally:
            process.kill()


def parse_jobs(text: str) -> list[Job]:
    """Return the jobs in the text of a dry run."""
    blocks: list[dict[str, str]] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            blocks.append({"rule": head[1]})
        elif blocks and (item := _ITEM.match(line)):
            blocks[-1][item[1]] = item[2]
        elif blocks and (command := _COMMAND.match(line)):
            blocks[-1]["command"] = command[1]
    return [_job(block) for block in blocks]


def _job(block: dict[str, str]) -> Job:
    requests = dict(_pairs(block.get("resources", "")))
    return Job(
        block["rule"],
        _pairs(block.get("wildcards", "")),
        block.get("log", "").split(" (")[0],
        block.get("benchmark", ""),
        tuple(block["output"].split(", ")) if "output" in block else (),
        float(requests["mem_mb"]) if "mem_mb" in requests else None,
        float(requests["runtime"]) if "runtime" in requests else None,
        tuple(block["input"].split(", ")) if "input" in block else (),
        block.get("command", ""),
        int(requests.get("gpu", 0)),
    )


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of `name=value, name=value`."""
    parts = [word.partition("=") for word in text.split(", ") if "=" in word]
    return tuple((name, value) for name, _, value in parts)
