"""The cohort: subjects of any data set, by name, that train and are decoded together.

A member is named `DATASET/MEMBER`: `laion/sub-01`, `mosaic/BOLD5000-CSI1`, `lab/anna`. NSD's are
`subj01` to `subj08` and a lab's own may leave out `lab/`. Folders and jobs carry the name without a
slash: `laion-sub-01`, `anna`. So a lab's own have no dash, and no data set's word as a name.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.runs import Duration

NSD, LAB, LAION, MOSAIC = "nsd", "lab", "laion", "mosaic"
NSD_SUBJECT = r"subj0[1-8]"
DATASETS = (NSD, LAB, LAION, MOSAIC)
"""Words that no subject of a lab's own is called by."""
OWN_SUBJECT = r"(?!(subj\d+|" + "|".join(DATASETS) + r")$)[A-Za-z][A-Za-z0-9]*"
"""Pattern of the name of a lab's own subject, after `lab/`."""
COHORT = "group/cohort"
"""Folder of the images and trials of a cohort that is not NSD's alone."""

N_EVALUATED = 8
"""Members that are evaluated where `cohort.evaluated` names none: as many as NSD has subjects."""

SECONDS_PER_TRIAL, HAS_SESSIONS = "seconds_per_trial", "has_sessions"
"""Of `subject.json`: seconds that a trial takes, and false where sessions are unknown."""

_CHOICES = ("subjects", "evaluated", "transfer")


def is_nsd(subject: str) -> bool:
    """Return True for one of NSD's subjects."""
    return re.fullmatch(NSD_SUBJECT, subject) is not None


def folder_name(member: str) -> str:
    """Return the name of a member in paths: `laion-sub-01` for `laion/sub-01`.

    `lab/anna` is `anna`; a name of this form is returned unchanged. Raises `PipelineError` for
    names that would be mistaken for another data set's: `lab/sub-01`, `lab/subj01`, `nsd/anna`.
    """
    dataset, slash, name = member.partition("/")
    if not _is_clear(member):
        own = (
            f"after lab/ a letter, then letters and digits, but not {', '.join(DATASETS)} or subj01"
        )
        raise PipelineError(
            f"subject {member}",
            "nsd/subj01 to nsd/subj08" if dataset == NSD else own,
            member,
            "give a subject of your own another name, such as lab/anna",
            code="invalid-setting",
        )
    if not slash:
        return member
    return name if dataset in (NSD, LAB) else f"{dataset}-{name}"


def _is_clear(member: str) -> bool:
    """Return True for a name whose data set is the one that its form in paths tells."""
    dataset, slash, name = member.partition("/")
    if not slash:
        return member not in DATASETS and not member.startswith((f"{NSD}-", f"{LAB}-"))
    pattern = {NSD: NSD_SUBJECT, LAB: OWN_SUBJECT}.get(dataset)
    return pattern is None or re.fullmatch(pattern, name) is not None


def dataset_of(subject: str) -> str:
    """Return the data set of a subject, by its name in paths."""
    if is_nsd(subject):
        return NSD
    dataset, dash, _ = subject.partition("-")
    return dataset if dash else LAB


def with_members(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose sections `nsd` and `lab` name subjects as paths do.

    `cohort.subjects`, where given, replaces nsd.subjects; then the first `N_EVALUATED` members are
    evaluated and none is a new subject, unless `cohort.evaluated` and `cohort.transfer` name some.
    `cohort.transfer` alone adds new subjects to NSD's. Raises `PipelineError` for two folders of
    one subject and for names that would be mistaken for another data set's.
    """
    named = dict(config)
    if isinstance(lab := named.get("lab"), Mapping):
        folders = {folder_name(str(name)): folder for name, folder in lab.items()}
        if len(folders) < len(lab):
            twice = sorted(n for n in map(str, lab) if folder_name(n) != n)
            raise PipelineError(
                "lab",
                "one folder for each subject",
                f"two for {', '.join(twice)}",
                f"remove one: {', '.join(f'{n} is {folder_name(n)}' for n in twice)}",
                code="duplicate-data",
            )
        named["lab"] = folders
    cohort, nsd = named.get("cohort"), named.get("nsd")
    if not isinstance(cohort, Mapping) or not isinstance(nsd, Mapping):
        return named
    chosen: dict[str, Any] = {key: cohort.get(key) for key in _CHOICES}
    if chosen["subjects"] is None:
        if not chosen["transfer"]:
            return named
        chosen["subjects"] = nsd["subjects"]
        chosen["evaluated"] = chosen["evaluated"] or nsd["evaluated"]
    if chosen["evaluated"] is None:
        chosen["evaluated"] = chosen["subjects"][:N_EVALUATED]
    names = {key: [folder_name(str(m)) for m in members or ()] for key, members in chosen.items()}
    named["nsd"] = {**nsd, **names}
    return named


def unfit_for_host_states(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the settings that `cohort.embedding_states: host` cannot train with, by their names.

    None where it is "device".
    """
    if settings["cohort"]["embedding_states"] == "device":
        return []
    keys = [f"{section}.optimizer" for section in ("bit_lowlevel", "bit_semantic", "joint")]
    unfit = [key for key in keys if settings[key.partition(".")[0]]["optimizer"] != "adamw"]
    return unfit + ["joint.processes"] * (settings["joint"]["processes"] > 1)


def require_host_states(variant: str, settings: Mapping[str, Any]) -> None:
    """Raise `PipelineError` where a variant cannot keep moments on the host as it is told to."""
    if unfit := unfit_for_host_states(settings):
        raise PipelineError(
            f"cohort.embedding_states host, in {variant}",
            "AdamW in both stages, and one process",
            f"another {', '.join(unfit)}",
            "set the optimizers to adamw and joint.processes to 1, or embedding_states to device",
            code="invalid-setting",
        )


def require_time(subject: str, folder: Path, duration: Duration) -> None:
    """Raise `PipelineError` for a time where `subject.json` tells no sessions and no seconds.

    Before any job starts; a file that cannot be read is left to `prepare_lab_subject`.
    """
    if duration.is_full or duration.is_of_trials:
        return
    try:
        about = json.loads((folder / "subject.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    is_known = not isinstance(about, dict) or about.get(SECONDS_PER_TRIAL) is not None
    if not is_known and about.get(HAS_SESSIONS) is False:
        raise no_time_error(duration, f" of {subject}")


def no_time_error(duration: Duration, whose: str = "") -> PipelineError:
    """Return the error for a time of a subject without sessions or seconds per trial."""
    return PipelineError(
        f"duration {duration.name}{whose}",
        "sessions, or the seconds of recording that a trial takes",
        "a subject without both",
        "name a number of trials, such as recon_500trials and transfer.durations: [500trials],"
        " or write seconds_per_trial in the folder's subject.json",
        code="missing-data",
    )
