"""Find LAION-fMRI's files in a listing of its bucket: by the entities of their names.

The layout has moved once, so no key is built: `derivatives/` is listed, and where a file is not
there, the whole bucket. Sessions that are not released are absent from the list, or refused (403).
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.data.fetch.listing import ListedFile, list_files
from brainit.data.fetch.sources import fetch
from brainit.data.open.bids import matching, only, parse_name

SOURCE = "s3://laion-fmri"
LAST_RELEASED = 30
"""Sessions 31 and later are held out or of another kind, and not part of the release."""
SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")

_DERIVATIVES = "derivatives/"
_BETAS = {"desc": "SingletrialBetas", "space": "T1w"}
_NUMBER = re.compile(r"\d+")
_MOVED = "the layout may have moved: look at the bucket's list, or name a folder with the files"
_GRID = ("1pt8", None)
"""Resolution in a mask's name, on the betas' grid; some names have none."""


@dataclass(frozen=True)
class SessionFiles:
    """Betas (4-D NIfTI) and trial table of a session."""

    session: int
    betas: ListedFile
    trials: ListedFile


class LaionBucket:
    """The files of one subject in a bucket or a folder."""

    def __init__(self, source: str, subject: str) -> None:
        self.source, self.subject = source.rstrip("/"), subject

    @cached_property
    def files(self) -> list[ListedFile]:
        """The files of the subject below `derivatives/`; of the whole bucket where none is."""
        for prefix in (_DERIVATIVES, ""):
            found = [f for f in list_files(self.source, prefix) if self._is_ours(f)]
            if matching(found, "statmap", ".nii.gz", **_BETAS):
                return found
        raise PipelineError(
            self.source,
            f"single-trial betas of {self.subject}",
            "none in its list",
            f"name one of {', '.join(SUBJECTS)}; {_MOVED}",
            code="missing-file",
        )

    def _is_ours(self, file: ListedFile) -> bool:
        return f"sub-{parse_name(file.name).entities.get('sub')}" == self.subject

    def sessions(self, wanted: tuple[int, ...] | None) -> list[SessionFiles]:
        """Return the files of the wanted sessions; None: all that are listed and released.

        Raises `PipelineError` for sessions that are not in the list, and for one without a trial
        table.
        """
        betas: dict[int, list[ListedFile]] = {}
        for file in matching(self.files, "statmap", ".nii.gz", **_BETAS):
            label = parse_name(file.name).entities.get("ses", "")
            if _NUMBER.fullmatch(label):
                betas.setdefault(int(label), []).append(file)
        chosen = wanted or tuple(n for n in sorted(betas) if n <= LAST_RELEASED)
        if absent := sorted(set(chosen) - set(betas)):
            listed = ", ".join(str(n) for n in sorted(betas))
            raise PipelineError(
                self.source,
                f"sessions {', '.join(map(str, absent))} of {self.subject}",
                f"sessions {listed} in its list",
                "name sessions of the list (--sessions); others are not released",
                code="missing-file",
            )
        return [self._session(number, betas[number]) for number in sorted(chosen)]

    def _session(self, number: int, betas: list[ListedFile]) -> SessionFiles:
        of_session = [
            file
            for file in matching(self.files, "trials", ".tsv", desc="SingletrialBetas")
            if parse_name(file.name).entities.get("ses", "").lstrip("0") == str(number)
        ]
        what = f"betas of session {number} of {self.subject}"
        tables = f"trial table of session {number} of {self.subject}"
        return SessionFiles(
            number,
            only(betas, self.source, what, _MOVED),
            only(of_session, self.source, tables, _MOVED),
        )

    def mask(self, label: str) -> ListedFile:
        """Return a region's mask on the betas' grid; raises `PipelineError` for an unknown name."""
        for resolution in _GRID:
            found = matching(
                self.files, "mask", ".nii.gz", space="T1w", label=label, res=resolution
            )
            if found:
                break
        known = matching(self.files, "mask", ".nii.gz", space="T1w")
        names = sorted({parse_name(f.name).entities.get("label", "") for f in known} - {""})
        fix = f"name regions of {', '.join(names) or 'the list'} (--mask)"
        return only(found, self.source, f"a mask of {label} of {self.subject}", fix)

    def ceiling(self, repeats: int) -> ListedFile | None:
        """Return the map of noise ceilings of means of 4 or 12 trials; None where there is none."""
        desc = f"Noiseceiling{repeats}rep"
        found = matching(self.files, "statmap", ".nii.gz", space="T1w", desc=desc, ses=None)
        return only(found, self.source, f"one map {desc}", _MOVED) if found else None

    def fetch(self, file: ListedFile, folder: Path, connections: int = 1) -> Path:
        """Fetch a file into `folder`, unless it is there, and return its path.

        Raises `PipelineError` for a refusal, which means that the file is not released.
        """
        target = folder / file.name
        if target.is_file() and target.stat().st_size == file.n_bytes:
            return target
        try:
            fetch(self.source, file.key, target, connections=connections)
        except PipelineError as error:
            if error.code == "network" and "HTTP 403" in error.found:
                raise PipelineError(
                    f"{self.source}/{file.key}",
                    "a file that is released",
                    "HTTP 403: listed, but not released",
                    "name other sessions (--sessions); what was made stays, and the same command"
                    " continues once it is released",
                    code="network",
                ) from error
            if error.code == "network" and "HTTP 404" in error.found:
                raise PipelineError(
                    f"{self.source}/{file.key}",
                    "a file that was in the list a moment ago",
                    "HTTP 404",
                    "run the same command again: it lists the bucket anew and continues",
                    code="network",
                ) from error
            raise
        return target
