"""The report of a rehearsal: a line for each step, and the file of its rates."""

import json
import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from brainit.commands.doctor_machine import total_memory
from brainit.commands.dry_run import Job
from brainit.commands.rehearse.few_steps import REHEARSED
from brainit.commands.rehearse.units import UnitTime
from brainit.commands.rehearse.verdict import Verdict
from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.core.locks import STALE_AFTER_S, locked
from brainit.workflow.rates import Rates

logger = logging.getLogger(__name__)

_SAME_MACHINE = ("device", "torch", "cpus")
"""Nodes that agree in these share their rates."""
_WAIT_S = 0.2
_MEMORY = ("device-memory", "host-memory")


@dataclass(frozen=True)
class Record:
    """What was found of a step: the job that ran, its measures, verdict, disk and hours.

    `cpu` are the CPU seconds of a unit, which a busy machine does not change; `disk` is the most
    bytes of stand-ins and outputs; `hours` those of all the target's jobs of the step, None where
    no rate was found; `n_voxels` all voxels of its subjects,
    `job_seconds` the seconds of this job in full, `data_bytes` the data that it will hold besides,
    `token_bits` the bits of its cached tokens or latents.
    """

    job: Job
    measured: Mapping[str, Any]
    time: UnitTime
    cpu: UnitTime
    verdict: Verdict
    disk: int
    hours: float | None
    n_voxels: int = 0
    job_seconds: float | None = None
    data_bytes: float = 0.0
    token_bits: int = 0

    def values(self) -> dict[str, Any]:
        """Return it for JSON, with the settings under which the rate holds."""
        measured = self.measured
        return {
            "verdict": self.verdict.word,
            "found": self.verdict.found,
            "advice": self.verdict.advice,
            "unit": self.time.unit,
            "seconds_per_unit": self.time.seconds,
            "fixed_seconds": self.time.fixed_seconds,
            "cpu_seconds_per_unit": self.cpu.seconds,
            "cpu_fixed_seconds": self.cpu.fixed_seconds,
            "host_bytes": measured.get("host_bytes", 0) + self.data_bytes,
            "measured_host_bytes": measured.get("host_bytes", 0),
            "requested_bytes": 1e6 * (self.job.mem_mb or 0.0),
            "device_bytes": measured.get("device_bytes", 0),
            "device_total_bytes": measured.get("device_total_bytes", 0),
            "device_waited": _waited(measured),
            "wall_seconds": measured.get("wall_s", 0.0),
            "scratch_bytes": self.disk,
            "hours": self.hours,
            "job_seconds": self.job_seconds,
            "n_voxels": self.n_voxels,
            "token_bits": self.token_bits,
            "settings": self.job.settings,
        }


def _waited(measured: Mapping[str, Any]) -> float | None:
    busy = measured.get("busy")
    return None if busy is None else 1.0 - busy


def as_lines(records: Sequence[Record], jobs: Sequence[Job]) -> list[str]:
    """Return the report as lines to read."""
    counts = Counter(job.step for job in jobs)
    lines = [line for record in records for line in _lines(record, counts[record.job.step])]
    if known := [record.hours for record in records if record.hours is not None]:
        lines.append(f"  {sum(known):.1f} h in all, of the steps with a rate, one after the other")
    others = sorted({job.step for job in jobs if job.command} - set(REHEARSED))
    if others:
        lines.append(f"  not rehearsed: {', '.join(others)}")
    return lines


def _lines(record: Record, n_jobs: int) -> list[str]:
    values, verdict = record.values(), record.verdict
    parts = [
        f"{values['host_bytes'] / 1e9:.1f} GB of {values['requested_bytes'] / 1e9:.1f} requested"
    ]
    if values["device_total_bytes"]:
        used, total = values["device_bytes"] / 1e9, values["device_total_bytes"] / 1e9
        parts.append(f"GPU {used:.1f} of {total:.1f} GB")
    if record.time.seconds is not None:
        parts.append(f"{record.time.seconds:.3g} s an {record.time.unit}")
    parts.append(f"{record.time.fixed_seconds:.0f} s besides")
    if values["device_waited"] is not None:
        parts.append(f"the GPU waited {100 * values['device_waited']:.0f} %")
    if record.hours is not None:
        parts.append(f"{n_jobs} {'job' if n_jobs == 1 else 'jobs'}, {record.hours:.2f} h")
    lines = [f"  {record.job.step:22} {verdict.word:14} {', '.join(parts)}"]
    if verdict.found:
        advice = f". Set: {verdict.advice}" if verdict.advice else ""
        lines.append(f"    {verdict.found}{advice}")
    return lines


def provenance(target: str, configfiles: Sequence[Path], depth: int | None) -> dict[str, Any]:
    """Return where, when and with what a rehearsal ran."""
    cuda = torch.cuda
    has_gpu = cuda.is_available()
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.node(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": total_memory(),
        "device": cuda.get_device_name() if has_gpu else "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "brainit": metadata.version("brainit"),
        "target": target,
        "configfiles": [str(path) for path in configfiles],
        "layers": depth,
    }


def as_json(records: Sequence[Record], about: Mapping[str, Any]) -> str:
    """Return provenance and steps as JSON."""
    steps = {record.job.step: record.values() for record in records}
    return json.dumps({"provenance": about, "steps": steps}, indent=1)


def write_rates(path: Path, records: Sequence[Record], about: Mapping[str, Any]) -> None:
    """Write the rates; other steps' rates from such a machine with such a torch are kept.

    Rehearsals on several nodes write one after the other. A damaged file is replaced. Raises
    `PipelineError` for one that the machine cannot read.
    """
    new = {record.job.step: record.values() for record in records}
    with _alone(path):
        steps = _kept(path, about) | new
        write_text(path, json.dumps({"provenance": about, "steps": steps}, indent=1) + "\n")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of the file within the block; wait while another rehearsal writes."""
    last = time.monotonic() + 2 * STALE_AFTER_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path, heartbeat_s=_WAIT_S))
                break
            except PipelineError as error:
                if error.code != "locked" or time.monotonic() > last:
                    raise
            time.sleep(_WAIT_S)
        yield


def _kept(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the steps of the file if they are of such a machine; none of a damaged file."""
    try:
        if not Rates.of(path.parent).device:
            return {}
    except PipelineError as error:
        if error.code != "damaged-file":
            raise
        logger.warning("%s is damaged; it is written anew", path)
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    is_same = all(before["provenance"].get(key) == about[key] for key in _SAME_MACHINE)
    return dict(before["steps"]) if is_same else {}


def require_fit(records: Sequence[Record]) -> None:
    """Raise `PipelineError` where a step failed or does not fit this machine."""
    bad = [record for record in records if record.verdict.word not in ("fits", "request", "time")]
    if bad:
        is_memory = all(record.verdict.word in _MEMORY for record in bad)
        advice = {f"{r.job.step}: {r.verdict.advice}" for r in bad if r.verdict.advice}
        raise PipelineError(
            "the rehearsal",
            "every step to run here",
            ", ".join(f"{record.job.step} ({record.verdict.word})" for record in bad),
            "; ".join(sorted(advice)) or "see the lines above",
            code="out-of-memory" if is_memory else "machine",
        )
