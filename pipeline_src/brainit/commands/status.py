"""`brainit status [TARGET]`: state of a run, errors of failed jobs, measured use of requests.

The jobs are those of Snakemake's dry runs. A pending job has failed where its log ends with an
error, and was broken off where its log says so, or ends without one and Snakemake's benchmark, the
mark of a job that came to its end, is no later; all else is to do. Use is the benchmark of each
finished job, beside the memory and time its rule asks for.
"""

import argparse
import csv
import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainit.commands.dry_run import Job, dry_run

logger = logging.getLogger(__name__)

_RUNNING_S = 300.0
"""A pending job whose log or lock was touched within this time runs; locks are, twice a minute."""

_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
_OWN_ERROR = re.compile(r"ERROR: ")
_BROKEN_OFF = re.compile(r"(\[rank\d+\]: )?(INTERRUPTED: |KeyboardInterrupt$)")
_RAISED = re.compile(
    r"(?!.*ChildFailedError)(\[rank\d+\]: )?[\w.]+(Error|Exception)(: |:?$)"
    r"|Fatal Python error|\S*python\S*: |[\w .-]+: error: "
)
"""A bug's exception, and the errors of Python and argparse before a step begins."""

_TIGHT, _WASTEFUL = 0.9, 0.25
"""Shares of a request above which a job is likely to be killed, below which others wait for it."""


@dataclass(frozen=True)
class Use:
    """Peak use of a rule's jobs, beside the rule's request; MB and minutes."""

    rule: str
    n_jobs: int
    used_mb: float
    asked_mb: float
    used_min: float
    asked_min: float

    @property
    def advice(self) -> str:
        """How to change the request; empty if it fits."""
        advice = []
        pairs = (("memory", self.used_mb, self.asked_mb), ("time", self.used_min, self.asked_min))
        for name, used, asked in pairs:
            if used > _TIGHT * asked:
                advice.append(f"ask for more {name}")
            elif used < _WASTEFUL * asked:
                advice.append(f"less {name} would do")
        return ", ".join(advice)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("status", help="done, running, failed jobs; use of requests")
    parser.add_argument("target", nargs="?", default="all", help="a target of the workflow")
    parser.add_argument("--configfile", nargs="*", type=Path, default=[], help="as for snakemake")
    parser.add_argument("--json", action="store_true", help="write it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the state. Raises `PipelineError` where Snakemake refuses target or configuration."""
    everything = dry_run(args.target, args.configfile, "--forceall")
    pending = dry_run(args.target, args.configfile)
    jobs = state(_logged(everything), _logged(pending), time.time())
    if args.json:
        sys.stdout.write(json.dumps(jobs, indent=1) + "\n")
        return
    for line in as_lines(args.target, jobs):
        logger.info("%s", line)


def _logged(jobs: list[Job]) -> list[Job]:
    """Return the jobs that write a log: all but aliases of others."""
    return [job for job in jobs if job.log]


def state(everything: list[Job], pending: list[Job], now_s: float) -> dict[str, Any]:
    """Return counts by rule, jobs that run, failed or were broken off with a line, use by rule.

    `now_s` is the time (s since 1970) against which logs and locks are recent or not.
    """
    waiting = {job.log for job in pending}
    done = [job for job in everything if job.log not in waiting]
    running = [job for job in pending if _is_running(job, now_s)]
    ended = [job for job in pending if job not in running]
    failed = [(job, line) for job in ended if (line := last_error(job))]
    broken_off = [(job, line) for job in ended if (line := last_sign(job))]
    return {
        "done": Counter(job.rule for job in done),
        "all": Counter(job.rule for job in everything),
        "running": [{"rule": job.rule, "log": job.log, "says": _last_line(job)} for job in running],
        "failed": [{"rule": job.rule, "log": job.log, "error": line} for job, line in failed],
        "broken_off": [
            {"rule": job.rule, "log": job.log, "says": line} for job, line in broken_off
        ],
        "use": [{**asdict(use), "advice": use.advice} for use in measure(done)],
    }


def last_error(job: Job) -> str | None:
    """Return the error that a job's log ends with, or None: the step's own line, or a bug's."""
    lines = _last_words(job)
    if error := _first(_OWN_ERROR, lines):
        return error
    if _first(_BROKEN_OFF, lines):
        return None
    raised = _first(_RAISED, reversed(lines))
    is_raised = any("Traceback (most recent call last)" in line for line in lines)
    return raised or (lines[-1].strip() if is_raised else None)


def last_sign(job: Job) -> str | None:
    """Return the last line of an interrupted or killed job, or None."""
    if last_error(job):
        return None
    notice = _first(_BROKEN_OFF, _last_words(job))
    return notice or (None if _came_to_its_end(job) else _last_line(job) or None)


def _first(pattern: re.Pattern[str], lines: Iterable[str]) -> str | None:
    return next((line.strip() for line in lines if pattern.match(line)), None)


def _lines(job: Job) -> list[str]:
    path = Path(job.log)
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").strip().splitlines()


def _last_line(job: Job) -> str:
    return next((line.strip() for line in reversed(_lines(job))), "")


def _last_words(job: Job) -> list[str]:
    """Return the lines of a job's log behind the last that a step logged while it ran."""
    lines = _lines(job)
    logged = [number for number, line in enumerate(lines, 1) if _LOGGED.match(line)]
    return lines[logged[-1] if logged else 0 :]


def _came_to_its_end(job: Job) -> bool:
    """Return True if the job's benchmark, written when it has ended well, is as new as its log."""
    log, benchmark = Path(job.log), Path(job.benchmark)
    if not benchmark.is_file() or not log.is_file():
        return False
    return benchmark.stat().st_mtime >= log.stat().st_mtime


def _is_running(job: Job, now_s: float) -> bool:
    """Return True if the job's lock, or where it has none its unended log, was touched lately."""
    locks = [Path(path).with_name(f".{Path(path).name}.lock") for path in job.outputs]
    if any(_touched(lock, now_s) for lock in locks):
        return True
    if not _touched(Path(job.log), now_s) or _came_to_its_end(job):
        return False
    return not (last_error(job) or _first(_BROKEN_OFF, _last_words(job)))


def _touched(path: Path, now_s: float) -> bool:
    return path.exists() and now_s - path.stat().st_mtime < _RUNNING_S


def measure(done: list[Job]) -> list[Use]:
    """Return for each rule the most its finished jobs used, where Snakemake has measured it."""
    measured: dict[str, list[tuple[float, float, Job]]] = {}
    for job in done:
        if job.mem_mb and job.runtime_min and (row := _benchmark(Path(job.benchmark))):
            measured.setdefault(job.rule, []).append((*row, job))
    return [
        Use(
            rule,
            len(rows),
            max(mb for mb, _, _ in rows),
            max(job.mem_mb or 0.0 for _, _, job in rows),
            max(minutes for _, minutes, _ in rows),
            max(job.runtime_min or 0.0 for _, _, job in rows),
        )
        for rule, rows in measured.items()
    ]


def _benchmark(path: Path) -> tuple[float, float] | None:
    """Return resident memory (MB) and time (min) of a benchmark file; None where unmeasured."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    try:
        return float(rows[-1]["max_rss"]), float(rows[-1]["s"]) / 60
    except (IndexError, KeyError, ValueError):
        return None


def as_lines(target: str, jobs: dict[str, Any]) -> list[str]:
    """Return the state as lines to read."""
    n_done, n_all = sum(jobs["done"].values()), sum(jobs["all"].values())
    n_failed, n_running = len(jobs["failed"]), len(jobs["running"])
    lines = [f"{target}: {n_done} of {n_all} jobs done, {n_running} running, {n_failed} failed"]
    if jobs["broken_off"]:
        lines[0] += f", {len(jobs['broken_off'])} broken off"
    lines += [
        f"  {rule}: {jobs['done'][rule]} of {n}"
        for rule, n in jobs["all"].items()
        if jobs["done"][rule] < n
    ]
    for job in jobs["running"]:
        lines.append(f"running {job['rule']} ({job['log']}): {job['says']}")
    for job in jobs["failed"]:
        lines.append(f"FAILED {job['rule']} ({job['log']}): {job['error']}")
    for job in jobs["broken_off"]:
        lines.append(f"broken off {job['rule']} ({job['log']}): {job['says']}")
    if jobs["use"]:
        lines.append("peak use of the requests (memory MB, time min):")
    for use in jobs["use"]:
        lines.append(
            f"  {use['rule']}: {use['used_mb']:.0f} of {use['asked_mb']:.0f} MB,"
            f" {use['used_min']:.1f} of {use['asked_min']:.0f} min  {use['advice']}".rstrip()
        )
    return lines
