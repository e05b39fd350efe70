"""Snakemake's dry run that prints of each job what `plan` reads, and no more.

Most of the time of a dry run of hundreds of jobs goes into messages, commands and requests. Called
as `python -m brainit.commands.job_list WORDS`, with the words of a call of Snakemake.
"""

import sys
from typing import Any

from snakemake.cli import main
from snakemake.executors.dryrun import Executor


def lines_of(job: Any) -> list[str]:
    """Return the lines of a job, as Snakemake's own dry run writes them, without its requests."""
    items = {
        "input": ", ".join(map(str, job.input)),
        "output": ", ".join(map(str, job.output)),
        "log": ", ".join(map(str, job.log)),
        "benchmark": str(job.benchmark or ""),
        "wildcards": ", ".join(f"{name}={value}" for name, value in job.wildcards_dict.items()),
    }
    lines = [f"    {name}: {text}" for name, text in items.items() if text]
    return [f"rule {job.rule.name}:", *lines]


def print_job(_: Executor, job: Any) -> None:
    """Print a job, or those of a group, in place of Snakemake's message."""
    for part in job.jobs if job.is_group() else [job]:
        sys.stdout.write("\n".join(lines_of(part)) + "\n")


if __name__ == "__main__":
    Executor.printjob = print_job
    main(sys.argv[1:])
