"""What a plan says of the jobs of a dry run: downloads, disk, memory, GPU hours and savings."""

from collections import Counter
from pathlib import Path
from typing import Any

from brainit.commands.dry_run import Job
from brainit.commands.plan.disk import disk_events, peak, peak_at_once
from brainit.commands.plan.hours import EFFECTIVE_TFLOPS, Hours, wall_seconds
from brainit.commands.plan.memory import largest_trainings
from brainit.commands.plan.ridge import memory_bytes
from brainit.commands.plan.savings import UNITS, savings
from brainit.commands.plan.sizes import Sizes
from brainit.commands.plan.tokens import token_costs, token_lines
from brainit.core.reading import read_yaml
from brainit.core.settings import Settings, parse_sections
from brainit.workflow.cohort import with_members
from brainit.workflow.folders import expand_folders
from brainit.workflow.rates import Rates
from brainit.workflow.variants import merged

BASE_CONFIG = Path("config/config.yaml")


def read_configuration(paths: list[Path]) -> Settings:
    """Merge configuration files as Snakemake does, expand their paths, and check all settings."""
    read: dict[str, Any] = {}
    for path in paths:
        fix = f"run at the root of the repository, or correct {path}"
        read = merged(read, read_yaml(path, "a readable YAML file", fix))
    return parse_sections(with_members(expand_folders(read)))


def make_plan(
    settings: Settings, jobs: list[Job], bandwidth_mbit: float, n_at_once: int = 1
) -> dict[str, Any]:
    """Return downloads, their time at `bandwidth_mbit` (Mbit/s), peak disk (bytes) and jobs.

    The disk's peak is that of one job after the other, and a bound for `n_at_once` trainings.
    """
    sizes = Sizes(settings)
    lines = sizes.fetched(jobs)
    n_fetched = sum(line.n_bytes for line in lines)
    prepared, trained = disk_events(sizes, jobs)
    most, where = peak([*prepared, *trained])
    of_ridge = [memory_bytes(sizes, job) for job in jobs if job.rule == "predict_ridge"]
    return {
        "jobs": dict(Counter(job.rule for job in jobs).most_common()),
        "n_jobs": len(jobs),
        "downloads": [
            {"what": x.what, "files": x.n_files, "bytes": x.n_bytes, "source": x.source}
            for x in lines
        ],
        "fetched_bytes": n_fetched,
        "download_hours": n_fetched * 8 / (bandwidth_mbit * 1e6) / 3600,
        "bandwidth_mbit": bandwidth_mbit,
        "peak_disk_bytes": most,
        "peak_disk_during": where,
        "ridge_memory_bytes": max(of_ridge, default=0.0),
        "training_memory_bytes": {} if sizes.is_simulated else largest_trainings(sizes, jobs),
        "n_at_once": n_at_once,
        "peak_disk_at_once_bytes": max(most, peak_at_once(prepared, trained, n_at_once)),
    }


def gpu_plan(
    settings: Settings, jobs: list[Job], n_gpus: int, tflops: float = EFFECTIVE_TFLOPS
) -> dict[str, Any]:
    """Return GPU hours by rule, in all and on `n_gpus`, the measured part, the tokens' costs."""
    results = Path(settings.paths.results)
    rates = Rates.of(results)
    hours = Hours(Sizes(settings), results / "benchmarks", tflops, rates)
    times = hours.of(jobs)
    by_rule: Counter[str] = Counter()
    for time in times:
        by_rule[time.label] += time.seconds / 3600  # type: ignore[assignment]
    return {
        "gpu_hours": sum(by_rule.values()),
        "gpu_hours_by_rule": dict(by_rule.most_common()),
        "measured_rules": sorted({time.label for time in times if time.is_measured}),
        "rehearsed_rules": sorted({time.label for time in times if time.is_rehearsed}),
        "rehearsed_on": rates.device,
        "tflops": tflops,
        "n_gpus": n_gpus,
        "wall_hours": wall_seconds(times, n_gpus) / 3600,
        "semantic_tokens": token_costs(hours, jobs),
    }


def saved(
    settings: Settings, jobs: list[Job], tflops: float = EFFECTIVE_TFLOPS
) -> list[dict[str, Any]]:
    """Return what other settings would save, each as a line and as numbers; none if simulated."""

    def costs(some: Settings, of_them: list[Job]) -> dict[str, float]:
        plan = make_plan(some, of_them, 1000.0) | gpu_plan(some, of_them, 1, tflops)
        return {name: float(plan[name]) for name in UNITS}

    found = [] if settings.run.simulation else savings(settings, jobs, costs)
    return [{"with": saving.what, "saved": saving.saved, "line": saving.line()} for saving in found]


def as_lines(target: str, plan: dict[str, Any]) -> list[str]:
    """Return the plan as lines to read."""
    rules = ", ".join(f"{n} {rule}" for rule, n in plan["jobs"].items())
    lines = [f"{target}: {plan['n_jobs']} jobs ({rules})"]
    lines += [
        f"  fetch {d['bytes'] / 1e9:8.2f} GB  {d['what']}, {d['files']} files, {d['source']}"
        for d in plan["downloads"]
    ]
    betas = [d for d in plan["downloads"] if d["what"].startswith("betas")]
    if betas:
        lines.append(f"  betas of all these subjects: {_gb(sum(d['bytes'] for d in betas))}")
    lines.append(
        f"  fetched in all: {_gb(plan['fetched_bytes'])}, {plan['download_hours']:.1f} h at"
        f" {plan['bandwidth_mbit']:g} Mbit/s"
    )
    lines.append(f"  peak disk: {_gb(plan['peak_disk_bytes'])}, {plan['peak_disk_during']}")
    if plan["n_at_once"] > 1:
        at_once = _gb(plan["peak_disk_at_once_bytes"])
        lines[-1] += f"; at most {at_once} with {plan['n_at_once']} jobs training at once"
    if plan.get("ridge_memory_bytes"):
        lines.append(f"  memory of ridge: {_gb(plan['ridge_memory_bytes'])}")
    if of_trainings := plan.get("training_memory_bytes"):
        parts = ", ".join(f"{rule} {_gb(n_bytes)}" for rule, n_bytes in of_trainings.items())
        lines.append(f"  GPU memory without activations, counted: {parts}")
    if plan.get("gpu_hours"):
        lines += _gpu_lines(plan)
    if plan.get("semantic_tokens"):
        lines += token_lines(plan["semantic_tokens"])
    lines += [saving["line"] for saving in plan.get("savings", [])]
    return lines


def _gpu_lines(plan: dict[str, Any]) -> list[str]:
    origins = {rule: f"rehearsed on {plan['rehearsed_on']}" for rule in plan["rehearsed_rules"]}
    origins |= dict.fromkeys(plan["measured_rules"], "measured")
    lines = [
        f"  {hours:8.2f} GPU h  {rule}, {origins.get(rule, 'counted')}"
        for rule, hours in plan["gpu_hours_by_rule"].items()
    ]
    total = f"  {plan['gpu_hours']:.1f} GPU h in all, {plan['wall_hours']:.1f} h on"
    return [
        *lines,
        f"{total} {plan['n_gpus']} GPU; counted ones at {plan['tflops']:g} TFLOP/s, at best",
    ]


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
