"""Check a lab's own subject and write the files that the NSD steps write for theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import from_args, read_settings, run_step, step_parser
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
    args = step_parser("prepare_lab_subject", __doc__, Job, LabOutputs).parse_args(argv)
    job, outputs = from_args(Job, args), from_args(LabOutputs, args)
    import_lab_subject(job.folder, job.subject, read_settings(args), outputs)


if __name__ == "__main__":
    run_step("prepare_lab_subject", main)
