"""Runs of the workflow from a miniature bucket in NSD's layout to arrays."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from brainit.core.files import sha256_of
from tests.run_folder import link_repository


@dataclass(frozen=True)
class SourceRun:
    """A folder in which the workflow makes the arrays of `subjects` from `source`."""

    repository: Path
    root: Path
    source: str
    subjects: Sequence[str]

    @property
    def targets(self) -> list[str]:
        images = ["results/group/images/stimuli", "results/group/images/external"]
        return [*(f"results/{subject}/betas/betas.npy" for subject in self.subjects), *images]

    def lay_out(self) -> None:
        """Make the folder: settings, and links to the repository."""
        people = list(self.subjects)
        settings = {
            "paths": {"source": self.source, "coco_source": f"{self.source}/coco"},
            "nsd": {
                "accept_terms": True,
                "published_checks": "never",
                "mask": "nsdgeneral",
                "subjects": people,
                "evaluated": people,
                "transfer": [],
            },
            "images": {"stored_size": 12, "n_external": 4},
        }
        link_repository(self.repository, self.root)
        (self.root / "own.yaml").write_text(yaml.safe_dump(settings))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start snakemake in a separate process group; `said.txt` gets its output."""
        command = [sys.executable, "-m", "snakemake", *self.targets, "--cores", "2", "--nocolor"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.repository / "pipeline_src"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with (self.root / "said.txt").open("wb") as said:
            return subprocess.Popen(
                [*command, "--configfile", "own.yaml", *words],
                cwd=self.root,
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def finish(self, *words: str) -> None:
        """Run snakemake to the end, which must be a good one."""
        status = self.start(*words).wait()
        logs = "".join(path.read_text() for path in (self.root / "results/logs").rglob("*.log"))
        said = (self.root / "said.txt").read_text()
        assert status == 0, said[-3000:] + logs[-3000:]

    def digests(self) -> dict[str, str]:
        """Return SHA-256 by file of all targets."""
        places = [self.root / target for target in self.targets]
        files = [path for place in places for path in [place, *place.rglob("*")]]
        return {
            str(path.relative_to(self.root)): sha256_of(path)
            for path in files
            if path.is_file() and path.name != ".snakemake_timestamp"
        }
