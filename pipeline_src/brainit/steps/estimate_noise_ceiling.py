"""Recompute the noise ceiling of a subject and compare it with NSD's (NSD paper; paper 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_artifact, write_table
from brainit.core.cli import add_flags, from_args, read_settings, run_step, step_parser
from brainit.data.noise_ceiling import N_REPEATS
from brainit.data.nsd.quality import PreparedFiles, estimate_noise_ceiling
from brainit.report.ceiling_figure import draw_noise_ceiling


@dataclass(frozen=True)
class Job:
    """The subject, and the files to write."""

    subject: str
    """subj01 to subj08."""
    out: Path
    """Noise ceilings."""
    comparison: Path
    """Their comparison (.csv)."""
    sessions: Path
    """Sessions (.csv)."""
    figure: Path
    """Figure (.png)."""
    nsd: Path | None = None
    """Fetched tree (masks); left out for a subject that is not NSD's."""
    source: str = ""
    """Root of the tree that held the betas."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write both noise ceilings of `--subject` and their comparison."""
    parser = step_parser("estimate_noise_ceiling", __doc__, Job, flags={"comparison": "summary"})
    add_flags(parser, PreparedFiles, flags={"summary": "betas_summary"})
    args = parser.parse_args(argv)
    job, settings = from_args(Job, args), read_settings(args)
    files = from_args(PreparedFiles, args)
    ceiling = estimate_noise_ceiling(job.subject, files, settings.nsd, job.nsd, job.source)
    simulated = settings.run.simulation
    draw_noise_ceiling(ceiling.tensors, ceiling.summary, ceiling.sessions, job.figure, simulated)
    write_table(job.sessions, ceiling.sessions)
    write_table(job.comparison, ceiling.summary)
    attributes = {"subject": job.subject, "n_repeats": N_REPEATS}
    write_artifact(job.out, "noise_ceiling", ceiling.tensors, attributes)


if __name__ == "__main__":
    run_step("estimate_noise_ceiling", main)
