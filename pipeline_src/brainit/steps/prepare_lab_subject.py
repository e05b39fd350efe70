"""Check a lab's own subject and write the files that the NSD steps write for theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.data.lab.prepare import LabOutputs, import_lab_subject


@dataclass(frozen=True)
class Job:
    """A subject of your own."""

    subject: str
    """Name in the section lab."""
    folder: Path
    """The lab's folder."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write trials, betas, voxels, noise ceiling and images of `--subject`."""
    args = parse_step(argv, "prepare_lab_subject", __doc__, Job, LabOutputs)
    job, outputs = args[Job], args[LabOutputs]
    import_lab_subject(job.folder, job.subject, args.settings, outputs)


if __name__ == "__main__":
    run_step("prepare_lab_subject", main)
