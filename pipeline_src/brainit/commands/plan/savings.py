"""What other settings would save of a plan: cached tokens, fewer subjects, the authors' models.

Jobs are taken from the plan's own dry run: those that the other settings make needless are left
out, with all that only they need. What the authors' checkpoints take to fetch is not counted.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from brainit.commands.dry_run import Job
from brainit.core.settings import Settings
from brainit.workflow.cohort import is_nsd

_OF_THE_POOL = re.compile(r"/group/all/main/(encoder|clusters|bit_lowlevel|bit_semantic|joint)/")
"""The models that `models: authors` gives."""
Costs = Callable[[Settings, list[Job]], dict[str, float]]
_TOKENS = ("extract_features", "extract_features_cohort")
UNITS = {
    "gpu_hours": ("GPU h", 1.0),
    "fetched_bytes": ("GB to fetch", 1e9),
    "peak_disk_bytes": ("GB of disk", 1e9),
}
"""Name, unit and size of each cost of a plan."""


@dataclass(frozen=True)
class Saving:
    """Settings that differ, and the costs that they save; negative where they cost more."""

    what: str
    saved: dict[str, float]

    def line(self) -> str:
        """Return it as a line to read."""
        words = []
        for name, (unit, size) in UNITS.items():
            amount = self.saved[name] / size
            if abs(amount) >= 0.05:
                words.append(f"{abs(amount):,.1f} {unit} {'less' if amount > 0 else 'more'}")
        return f"  with {self.what}: {', '.join(words) or 'nothing less'}"


def savings(settings: Settings, jobs: list[Job], costs: Costs) -> list[Saving]:
    """Return what each alternative to the settings saves of the costs of their jobs."""
    now = costs(settings, jobs)
    found = []
    for what, other, fewer in alternatives(settings, jobs):
        then = costs(other, fewer)
        found.append(Saving(what, {name: now[name] - then[name] for name in now}))
    return found


def alternatives(settings: Settings, jobs: list[Job]) -> Iterator[tuple[str, Settings, list[Job]]]:
    """Yield the name of each alternative that changes the jobs, its settings, and its jobs."""
    if any(job.rule in ("train_bit", "adapt_bit") for job in jobs):
        yield _other_cache(settings, jobs)
    nsd = settings.nsd
    kept = tuple(s for s in nsd.subjects if s in {*nsd.evaluated, *nsd.transfer})
    dropped = [job for job in jobs if _is_of(job, set(nsd.subjects) - set(kept))]
    if dropped:
        other = _with(settings, "nsd", subjects=kept)
        key = "nsd" if all(map(is_nsd, nsd.subjects)) else "cohort"
        yield f"{key}.subjects: [{', '.join(kept)}]", other, without(jobs, dropped)
    given = [job for job in jobs if any(_OF_THE_POOL.search(f"/{path}") for path in job.outputs)]
    if given and settings.models.root == "train" and all(map(is_nsd, nsd.subjects)):
        yield "models: authors", settings, without(jobs, given)


def without(jobs: Sequence[Job], dropped: Sequence[Job]) -> list[Job]:
    """Return the jobs but those dropped and those whose files nobody needs any more.

    Files are needed that no job of the plan reads: those of the target.
    """
    read = {path for job in jobs for path in job.inputs}
    makers = {path: job for job in jobs for path in job.outputs}
    gone = set(dropped)
    waiting = [job for job in jobs if not read.intersection(job.outputs)]
    needed: set[Job] = set()
    while waiting:
        job = waiting.pop()
        if job not in gone and job not in needed:
            needed.add(job)
            waiting += [makers[path] for path in job.inputs if path in makers]
    return [job for job in jobs if job in needed]


def _is_of(job: Job, subjects: set[str]) -> bool:
    """Return True if a job prepares, decodes or leaves out one of some subjects."""
    pool = job.wildcard("pool")
    return job.subject in subjects or any(pool == f"without_{s}" for s in subjects)


def _other_cache(settings: Settings, jobs: list[Job]) -> tuple[str, Settings, list[Job]]:
    """Return the other way to get the semantic tokens: kept in shards, or computed when needed."""
    is_cached = settings.features.cache_tokens
    other = _with(settings, "features", cache_tokens=not is_cached)
    changed = [job for job in jobs if job.rule not in _TOKENS]
    if not is_cached:
        sets = ("stimuli", "external")
        changed += [Job("extract_features", (("image_set", name),)) for name in sets]
    return f"features.cache_tokens: {str(not is_cached).lower()}", other, changed


def _with(settings: Settings, section: str, **values: Any) -> Settings:
    changed = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: changed})
