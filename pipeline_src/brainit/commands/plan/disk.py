"""Peak of used disk: bytes that each job writes and frees, in the paper's order.

Jobs of one stage follow each other; pools of subjects too. Where several jobs train at once, the
predicted fMRI of all pools may be on disk at once, and so may the trainings' checkpoints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from brainit.commands.dry_run import Job
from brainit.commands.plan import ridge
from brainit.commands.plan.models import checkpoint_bytes
from brainit.commands.plan.sizes import Sizes

_STAGES = (
    ("simulate_nsd",),
    ("download", "fetch_weights"),
    ("download_images", "download_external"),
    ("prepare_images", "prepare_external"),
    ("prepare_lab_subject",),
    ("extract_features", "extract_features_cohort", "extract_latents", "extract_latents_cohort"),
    ("prepare_betas",),
)
_TRAININGS = ("train_bit", "train_joint")
_ADAPTATIONS = ("adapt_bit", "adapt_joint")


@dataclass(frozen=True)
class Event:
    """One job's effect on the disk: bytes while it runs, and bytes that stay when it has ended."""

    what: str
    during: float
    after: float


def peak(events: Sequence[Event]) -> tuple[float, str]:
    """Return the most bytes at any time, and during which job."""
    level, most, where = 0.0, 0.0, "nothing"
    for event in events:
        if level + event.during > most:
            most, where = level + event.during, event.what
        level += event.after
    return most, where


def peak_at_once(prepared: Sequence[Event], trained: Sequence[Event], n_jobs: int) -> float:
    """Return the most bytes while up to `n_jobs` of the jobs `trained` run after all `prepared`.

    It is a bound: all that lasts, nothing deleted, and the most that so many jobs add meanwhile.
    """
    start = sum(event.after for event in prepared)
    meanwhile = sorted((event.during - max(event.after, 0.0) for event in trained), reverse=True)
    lasting = sum(max(event.after, 0.0) for event in trained)
    return max(peak(prepared)[0], start + lasting + sum(meanwhile[:n_jobs]))


def disk_events(sizes: Sizes, jobs: Sequence[Job]) -> tuple[list[Event], list[Event]]:
    """Return the effects of all jobs that write much, in the order in which they can follow.

    First those that prepare the data, then those that predict fMRI, train and reconstruct.
    """
    prepared = [
        _event(sizes, job)
        for stage in _STAGES
        for rule in stage
        for job in jobs
        if job.rule == rule
    ]
    trained: list[Event] = []
    for pool in sorted({job.wildcard("pool") for job in jobs} - {""}):
        trained += _pool_events(sizes, pool, jobs)
    trained += [_training(sizes, job) for job in jobs if job.rule in _ADAPTATIONS]
    writing = ("predict_ridge", "reconstruct_fused")
    trained += [_event(sizes, job) for rule in writing for job in jobs if job.rule == rule]
    return prepared, trained


def _event(sizes: Sizes, job: Job) -> Event:
    match job.rule:
        case "simulate_nsd":
            subjects = sizes.nsd_subjects
            betas = sum(
                n_files * n_bytes * sizes.n_sessions(subject)
                for subject in subjects
                for n_files, n_bytes in [sizes.raw_session(subject)]
            )
            betas += len(subjects) * sizes.synthetic_session
            return _lasting(job.rule, betas + sizes.stimuli + sizes.coco)
        case "download":
            lines = sizes.fetched([job])
            return _lasting(job.rule, sum(line.n_bytes for line in lines))
        case "fetch_weights":
            lines = sizes.fetched([job])
            return _lasting(
                f"weights {job.wildcard('network')}", sum(line.n_bytes for line in lines)
            )
        case "download_images":
            return _lasting(job.rule, sizes.stimuli + sizes.coco)
        case "download_external":
            return _lasting(job.rule, sizes.coco)
        case "prepare_images":
            gone = 0 if sizes.is_simulated else sizes.stimuli + sizes.coco
            kept = sizes.kept(sizes.n_nsd_stimuli + sizes.n_external)
            return Event(job.rule, kept, kept - gone)
        case "prepare_external":
            kept = sizes.kept(sizes.n_external)
            return Event(job.rule, kept, kept - sizes.coco)
        case "prepare_lab_subject":
            if (folder := sizes.folders.get(job.subject)) is None:
                return _lasting(job.rule, 0)
            kept = sizes.kept(folder.n_images) + sizes.prepared(job.subject)
            return _lasting(f"{job.rule} {job.subject}", kept)
        case "extract_features" | "extract_features_cohort":
            return _lasting(job.rule, sizes.tokens(job.wildcard("image_set")))
        case "extract_latents" | "extract_latents_cohort":
            return _lasting(job.rule, sizes.latents(job.wildcard("image_set")))
        case "prepare_betas":
            is_raw = sizes.betas_come_over_network
            n_files, n_bytes = sizes.raw_session(job.subject) if is_raw else (0, 0)
            stays = sizes.prepared(job.subject)
            # Finished sessions stay beside the whole until it is written.
            return Event(f"betas {job.subject}", max(2 * stays, stays + n_files * n_bytes), stays)
        case "predict_ridge":
            return _lasting(f"{job.rule} {job.subject}", ridge.prediction_bytes(sizes, job))
        case _:
            return _lasting(f"{job.rule} {job.subject}", sizes.reconstructions(job.subject))


def _training(sizes: Sizes, job: Job) -> Event:
    """Return a training's effect: its checkpoints go once its models are written.

    Trainings on the simulated data end before their first checkpoint is due.
    """
    stays = sizes.trained(job)
    meanwhile = 0 if sizes.is_simulated else checkpoint_bytes(stays)
    what = " ".join([job.rule, *(value for _, value in job.wildcards)])
    return Event(what, stays + meanwhile, stays)


def _lasting(what: str, n_bytes: float) -> Event:
    return Event(what, n_bytes, n_bytes)


def _pool_events(sizes: Sizes, pool: str, jobs: Sequence[Job]) -> Iterator[Event]:
    """Yield the predicted fMRI of a pool, its trainings, and its deletion if temporary."""
    pool_jobs = [job for job in jobs if job.wildcard("pool") == pool]
    written = 0
    for job in pool_jobs:
        if job.rule in ("synthesize_fmri", "synthesize_fmri_pool"):
            written += sizes.synthetic(job) if job.rule == "synthesize_fmri_pool" else 0
            yield _lasting(f"predicted fMRI {pool}", sizes.synthetic(job))
    for rule in _TRAININGS:
        for job in pool_jobs:
            if job.rule == rule:
                yield _training(sizes, job)
    if not sizes.is_simulated:
        yield Event(f"end of {pool}", 0, -written)
