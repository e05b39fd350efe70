"""Results of a run, for a notebook: images, tables, scores, betas, models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.api.reconstructor import ModelFiles, Reconstructor
from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.settings import parse_sections
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore
from brainit.data.recons import PROVENANCE_NAME, Recons, read_recons
from brainit.data.seen import stimuli_of, trials_of
from brainit.evaluation.checks.verdict import CHECK_COLUMNS

_RUN_PREFIX = "recon_"


@dataclass(frozen=True)
class Results:
    """A folder of results; files are read on demand."""

    folder: Path
    weights_dir: Path

    @property
    def runs(self) -> tuple[str, ...]:
        """Finished runs, as subject/run."""
        paths = self.folder.glob(f"*/{_RUN_PREFIX}*/{PROVENANCE_NAME}")
        names = [(path.parts[-3], path.parts[-2].removeprefix(_RUN_PREFIX)) for path in paths]
        return tuple(f"{subject}/{run}" for subject, run in sorted(names))

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that were made."""
        return tuple(sorted(path.stem for path in self.folder.glob("tables/*/*.csv")))

    def table(self, name: str) -> pd.DataFrame:
        """Return a table's CSV; raises `PipelineError` if not run.

        It has a row per condition, metric and set of subjects; `failures` has one per image,
        `encoder` one per part of cortex.
        """
        if name not in self.tables:
            fix = "run `snakemake tables`, or `snakemake everything` for the ablations"
            known = f"one of {list(self.tables)}"
            raise PipelineError(f"table {name}", known, repr(name), fix, code="unknown-name")
        path = self.folder / "tables" / name / f"{name}.csv"
        return read_table(path, (), "snakemake tables or everything")

    @property
    def checks(self) -> pd.DataFrame:
        """The checks: value, null, threshold, verdict; raises `PipelineError` where none ran.

        Returns the checks of `everything` (checks_full.csv), which include those of `all`
        (checks.csv), unless the latter are newer.
        """
        path, full = (self.folder / name for name in ("checks.csv", "checks_full.csv"))
        if full.is_file() and (not path.is_file() or _made(full) >= _made(path)):
            path = full
        return read_table(path, CHECK_COLUMNS, "check_results")

    def scores(self, subject: str, run: str = "40h", kind: str = "fused") -> pd.DataFrame:
        """Return every metric of each image, by nsd_id; raises `PipelineError` if not scored."""
        path = self.folder / subject / "metrics" / f"{run}_{kind}.csv"
        return read_table(path, ("nsd_id",), "evaluate").set_index("nsd_id")

    def reconstructions(self, subject: str, run: str = "40h") -> Recons:
        """Return the images of a finished run; raises `PipelineError` if it is not one."""
        return read_recons(self.folder / subject / f"{_RUN_PREFIX}{run}")

    def seen(self, subject: str, nsd_id: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the stimuli of `subject`, uint8 (images, side, side, rgb)."""
        return ImageStore(stimuli_of(self.folder, subject)).pixels(nsd_id)

    def test_betas(self, subject: str) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Return z-scored betas (images, voxels) of the test images, and their nsd_id.

        Repeats of an image are averaged, as before decoding.
        """
        folder = self.folder / subject
        betas, trials = folder / "betas" / "betas.npy", trials_of(self.folder, subject)
        fmri = load_subject_fmri(subject, betas, trials, ("test",), "40h", average=True)
        return fmri.betas, fmri.nsd_id

    def reconstructor(self, subject: str, run: str = "40h") -> Reconstructor:
        """Return the models of a finished run, with its settings, as a function of betas.

        Raises `PipelineError` where the run is unfinished or one of its models is missing.
        """
        made = self.reconstructions(subject, run).provenance
        sections = {**made["settings"], "run": {key: made[key] for key in ("seed", "threads")}}
        files = model_files(self.folder, made["models"])
        return Reconstructor(subject, files, parse_sections(sections), self.weights_dir)


def load(folder: str | Path, weights_dir: Path | None = None) -> Results:
    """Open a folder of results, such as results or results/demo.

    `weights_dir` holds the published networks (None: in the results' own store; the demo needs
    none). Raises `PipelineError` where the folder holds no finished run.
    """
    root = Path(folder)
    results = Results(root, weights_dir or root / ".store" / "weights")
    if not results.runs:
        fix = "name the folder that contains subj01, ..., or run snakemake first"
        expected = "a folder of results with a finished run"
        raise PipelineError(root, expected, "none", fix, code="missing-file")
    return results


def model_files(root: Path, made_with: Mapping[str, Mapping[str, str]]) -> ModelFiles:
    """Return the models of a run: `made_with` is `models` of its provenance.

    Each is the file named there, or the same file below `root` if the results were moved. Raises
    `PipelineError` where neither has the recorded SHA-256, and for a baseline: it has no decoder.
    """
    if "bit_lowlevel" not in made_with:
        raise PipelineError(
            root,
            "a run with trained decoders",
            f"a run made with {sorted(made_with) or 'no models'}",
            "name a run such as 40h; a baseline's images are in Results.reconstructions",
            code="invalid-argument",
        )
    files = {role: _model(root, role, **about) for role, about in made_with.items()}
    return ModelFiles(files["bit_lowlevel"], files.get("bit_semantic"), files.get("generator"))


def _model(root: Path, role: str, file: str, sha256: str) -> Path:
    parts = Path(file).parts
    candidates = [Path(file), *(root.joinpath(*parts[n:]) for n in range(1, len(parts)))]
    there = [path for path in candidates if path.is_file()]
    for path in there:
        if sha256_of(path) == sha256:
            return path
    expected = f"the {role} that the run was made with, SHA-256 {sha256[:16]}..."
    raise PipelineError(
        ", ".join(map(str, there)) or file,
        expected,
        "another model" if there else "no file",
        f"rerun snakemake for the recon_ folder of this run, which trains the {role} again",
        code="inconsistent-inputs" if there else "missing-file",
    )


def _made(path: Path) -> int:
    return path.stat().st_mtime_ns
