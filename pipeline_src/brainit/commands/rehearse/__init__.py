"""`brainit rehearse [TARGET]`: each large step of a target, a few steps long, on this machine.

The jobs and their commands come from a dry run of the target. Of each step the largest job runs, by
its own command at the true widths, batches and numbers of voxels, on stand-in data and random
weights (`stand_ins`, `layouts`); only counts are cut (`few_steps`). Nothing is fetched. The report
says for each step whether it fits, the seconds of a unit, and the hours of all its jobs;
`rehearsal.json` in the folder of the results keeps the rates for plan and rules.
"""

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from brainit.commands.dry_run import Job, dry_run
from brainit.commands.plan.contents import BASE_CONFIG, read_configuration
from brainit.commands.rehearse.few_steps import REHEARSED
from brainit.commands.rehearse.verdict import srun_line
from brainit.core.errors import PipelineError
from brainit.core.interruption import stop_on_signals
from brainit.core.settings import Settings
from brainit.workflow.rates import RATES_NAME

if TYPE_CHECKING:
    from brainit.commands.rehearse.report import Record

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("rehearse", help="time and memory of each large step, here")
    parser.add_argument("target", nargs="?", default="all", help="a target of the workflow")
    parser.add_argument("--configfile", nargs="*", type=Path, default=[], help="as for snakemake")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="STEP",
        help="such as train_joint 'train_bit lowlevel'",
    )
    parser.add_argument(
        "--steps", type=int, default=3, help="optimiser steps, iterations or passes"
    )
    parser.add_argument(
        "--images", type=int, help="images of a step of images; default: two batches, on a CPU 2"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="at most, for each step")
    parser.add_argument(
        "--scratch", type=Path, help="folder for up to 40 GB; default: in paths.store"
    )
    parser.add_argument(
        "--layers", type=int, help="depth of all networks: shows that the code runs; no rates"
    )
    parser.add_argument("--srun", action="store_true", help="only print a cluster's commands")
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Rehearse a target and write the rates.

    Raises `PipelineError` where Snakemake refuses target or configuration, for a step that the
    target does not have, and at the end where a step fails or does not fit.
    """
    # They take torch with them, which the other sub-commands' help does not need.
    from brainit.commands.rehearse.report import as_json, as_lines, provenance, require_fit

    settings = read_configuration([BASE_CONFIG, *args.configfile])
    stop_on_signals()  # a cancelled job of a cluster ends its step and removes its files
    scratch = args.scratch or Path(settings.paths.store)
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rehearsal_", dir=scratch)).resolve()
    try:
        jobs = jobs_in(folder, args.target, args.configfile)
        chosen = largest_jobs(jobs, args.only)
        if args.srun:
            facts = (args.target, args.configfile, settings.run.threads, args.minutes)
            for job in chosen:
                sys.stdout.write(srun_line(job, *facts, options_of(args)) + "\n")
            return
        about = provenance(args.target, args.configfile, args.layers)
        records = rehearse(settings, jobs, chosen, folder, args, about)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        sys.stdout.write(as_json(records, about) + "\n")
    else:
        for line in as_lines(records, jobs):
            logger.info("%s", line)
    require_fit(records)


def options_of(args: argparse.Namespace) -> list[str]:
    """Return the options that a command for a cluster's node passes on."""
    options = []
    for name in ("steps", "images", "minutes", "scratch", "layers"):
        value = getattr(args, name)
        if value is not None:
            options += [f"--{name}", str(value)]
    return options


def rehearse(
    settings: Settings,
    jobs: Sequence[Job],
    chosen: Sequence[Job],
    folder: Path,
    args: argparse.Namespace,
    about: Mapping[str, Any],
) -> "list[Record]":
    """Rehearse the chosen jobs, one after the other, and return what was found of each.

    Rates are written after each of them, with `about`, their provenance.
    """
    from brainit.commands.rehearse.rehearsal import Rehearsal
    from brainit.commands.rehearse.report import write_rates

    rehearsal = Rehearsal(
        settings, jobs, folder, args.steps, args.images, args.minutes, args.layers
    )
    records = []
    for number, job in enumerate(chosen):
        logger.info("rehearses %s (%d of %d)", job.step, number + 1, len(chosen))
        records.append(rehearsal.record(job))
        if args.layers is None:
            write_rates(Path(settings.paths.results) / RATES_NAME, records, about)
        rehearsal.clean(chosen[number + 1 :])
    return records


def jobs_in(folder: Path, target: str, configfiles: Sequence[Path]) -> list[Job]:
    """Return all jobs of a target, finished ones too, with results and store in `folder`."""
    overlay = folder / "paths.yaml"
    paths = {"results": str(folder / "results"), "store": str(folder / "store")}
    overlay.write_text(yaml.safe_dump({"paths": paths}), encoding="utf-8")
    return dry_run(target, [*configfiles, overlay])


def largest_jobs(jobs: Sequence[Job], only: Sequence[str]) -> list[Job]:
    """Return the largest job of each step that is rehearsed, in the order of a run.

    `only` names steps, with or without the kind of BIT; none names all. Raises `PipelineError` for
    a step that no job runs.
    """
    largest: dict[str, Job] = {}
    for job in jobs:
        if job.step not in largest or _size(job) > _size(largest[job.step]):
            largest[job.step] = job
    found = [largest[step] for step in REHEARSED if step in largest]
    known = {name for job in found for name in (job.step, job.step.split()[0])}
    if unknown := sorted(set(only) - known):
        raise PipelineError(
            "--only",
            f"steps of the target: {', '.join(job.step for job in found)}",
            ", ".join(unknown),
            "name one of these steps; other steps are not rehearsed",
            code="unknown-name",
        )
    return [job for job in found if not only or {job.step, job.step.split()[0]} & set(only)]


def _size(job: Job) -> tuple[bool, bool, int, bool]:
    """Return what orders jobs of a step: the full method before variants and baselines, subjects.

    The external images are more than the stimuli.
    """
    is_main = job.wildcard("variant") in ("", "main")
    is_own = "_" not in job.wildcard("run")
    return is_main, is_own, len(job.inputs), job.wildcard("image_set") == "external"
