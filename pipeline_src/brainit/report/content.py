"""The content of the report's parts, as plain text and rows."""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from PIL import Image

from brainit import __version__
from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.core.reading import read_json, reading
from brainit.core.settings import Settings
from brainit.data.recons import PROVENANCE_NAME
from brainit.data.trials import SPLITS, read_trials
from brainit.evaluation.checks.verdict import (
    CHECK_COLUMNS,
    COMPARISON,
    FAILS,
    HOLDS,
    UNDECIDED,
    VERDICTS,
)
from brainit.evaluation.tables.notes import NotRun, missing_rows
from brainit.evaluation.tables.rows import EVERY_TABLE, command_of, rows_of, title_of
from brainit.report.captions import CAPTIONS, Caption, caption_of, run_label


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


@dataclass(frozen=True)
class Figure:
    """A figure that the report embeds: `data` is its PNG in base64."""

    name: str
    caption: Caption
    width: int
    height: int
    data: str


def summary_of(settings: Settings, runs: Iterable[str]) -> list[tuple[str, str]]:
    """Return (name, value) pairs that describe data, runs and networks; `runs` are subject/run."""
    nsd, features, simulated = settings.nsd, settings.features, settings.run.simulation
    of_subject: dict[str, list[str]] = {}
    for name in runs:
        subject, _, run = name.partition("/")
        of_subject.setdefault(subject, []).append(run_label(run))
    networks = features.model_dump(
        include={"encoder_backbone", "semantic_tokens", "vgg", "generator", "refiner"}
    )
    metrics = ", ".join(features.metrics)
    return [
        ("software", f"brainit {__version__}"),
        ("data", "a simulated NSD" if simulated else "the Natural Scenes Dataset (NSD)"),
        ("betas", f"{nsd.betas_version}, {nsd.space}, mask {nsd.mask}"),
        ("test set", nsd.test_set),
        (
            "runs",
            "; ".join(f"{subject}: {', '.join(of_subject[subject])}" for subject in of_subject),
        ),
        (
            "models",
            "trained in this run" if settings.models.root == "train" else settings.models.root,
        ),
        (
            "networks",
            ", ".join(f"{role.replace('_', ' ')} {name}" for role, name in networks.items()),
        ),
        ("metric networks", metrics),
        ("seed and threads", f"{settings.run.seed} and {settings.run.threads}"),
    ]


def data_grid(trials: Mapping[str, Path], ceilings: Mapping[str, Path]) -> Grid:
    """Return each subject's voxels, sessions, trials by split, and test images."""
    rows = []
    for subject, path in trials.items():
        table = read_trials(path)
        ceiling = read_table(ceilings[subject], ("n_voxels",), "estimate_noise_ceiling").iloc[0]
        counts = [f"{int((table['split'] == split).sum()):,}" for split in SPLITS]
        n_test = table.loc[table["split"] == "test", "nsd_id"].nunique()
        rows.append(
            (
                subject,
                f"{ceiling['n_voxels']:,}",
                str(table["session"].nunique()),
                *counts,
                f"{n_test:,}",
            )
        )
    head = (
        "subject",
        "voxels",
        "sessions",
        *(f"{split} trials" for split in SPLITS),
        "test images",
    )
    return Grid(head, tuple(rows))


def ceiling_grid(ceilings: Mapping[str, Path]) -> Grid:
    """Return the noise ceiling summaries of all subjects."""
    tables = [
        read_table(path, ("subject",), "estimate_noise_ceiling") for path in ceilings.values()
    ]
    joined = pd.concat(tables) if tables else pd.DataFrame()
    rows = [
        tuple(
            "–" if value != value else f"{value:.4g}" if isinstance(value, float) else str(value)
            for value in row
        )
        for row in joined.itertuples(index=False)
    ]
    return Grid(tuple(str(name) for name in joined.columns), tuple(rows))


def read_figures(folder: Path) -> list[Figure]:
    """Return the figures of `folder`; those with captions come first, in the captions' order.

    Raises `PipelineError` if there is none.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if not paths:
        expected, fix = "figures (.png)", "delete the folder and rerun make_figures"
        raise PipelineError(folder, expected, "none", fix, code="missing-file")
    names = [*(n for n in CAPTIONS if n in paths), *(n for n in paths if n not in CAPTIONS)]
    return [_read_figure(paths[name]) for name in names]


def _read_figure(path: Path) -> Figure:
    with Image.open(path) as picture:
        width, height = picture.size
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Figure(path.stem, caption_of(path.stem), width, height, data)


def verdict_of(checks: pd.DataFrame) -> str:
    """Return how many of the checks that claim something hold, do not, or are undecided."""
    counts = {verdict: int((checks["verdict"] == verdict).sum()) for verdict in VERDICTS}
    n_claims = len(checks) - counts[COMPARISON]
    return (
        f"{counts[HOLDS]} of {n_claims} checks hold, {counts[FAILS]} do not,"
        f" {counts[UNDECIDED]} are undecided"
    )


def check_rows(checks: pd.DataFrame) -> list[dict[str, str]]:
    """Return the checks as rows of text, by column; `interval` is from low to high."""
    numbers = ("value", "low", "high", "null", "threshold")
    rows = []
    for row in checks.to_dict("records"):
        text = {c: _number(row[c]) if c in numbers else str(row[c]) for c in CHECK_COLUMNS}
        is_known = row["low"] == row["low"]
        rows.append({**text, "interval": f"{text['low']} to {text['high']}" if is_known else "–"})
    return rows


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.4g}"


def run_grid(recons: Mapping[str, Path]) -> Grid:
    """Return the provenance of each run; raises `PipelineError` for an incomplete run."""
    settings = "reconstruction settings"
    head = ("run", "images", "seed", "threads", settings, "models", "recons.h5", "versions")
    return Grid(head, tuple(_run_row(name, folder) for name, folder in recons.items()))


def _run_row(name: str, folder: Path) -> tuple[str, ...]:
    path = folder / PROVENANCE_NAME
    fix = "delete the folder of the run and rerun gather_reconstructions"
    record = read_json(path, "a run's provenance (JSON)", fix, "run gather_reconstructions")
    versions, models = record.get("versions", {}), sorted(record.get("models", {}).items())
    return (
        name,
        str(record.get("n_images", "–")),
        str(record.get("seed", "–")),
        str(record.get("threads", "–")),
        str(record.get("settings_digest", "–"))[:16],
        ", ".join(f"{role} {made['sha256'][:16]}" for role, made in models),
        str(record.get("sha256", {}).get("recons.h5", "–"))[:16],
        ", ".join(f"{key} {value}" for key, value in sorted(versions.items())),
    )


def read_text(path: Path, made_by: str) -> str:
    """Read a file that the report shows; raises `PipelineError` if it cannot be read."""
    expected, fix = "a readable file for the report", f"run {made_by}"
    with reading(path, expected, fix, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")


def citations() -> Sequence[Mapping[str, Any]]:
    """Return the works to cite, from `citations.yaml`."""
    text = resources.files("brainit.report").joinpath("citations.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return entries


def missing_entries(
    folders: Iterable[Path], figures: Collection[str], settings: Settings
) -> tuple[NotRun, ...]:
    """Return the tables, rows and figures that were not run, each with its command.

    `folders` hold the tables that were run, `figures` are the names of those drawn. Raises
    `PipelineError` if a table's numbers cannot be read.
    """
    there = {folder.name: folder for folder in folders}
    simulated = settings.run.simulation
    entries: list[NotRun] = []
    for name in EVERY_TABLE:
        if name not in there:
            entries.append(NotRun(title_of(name), (), command_of(name, simulated)))
        elif rows_of(name).conditions:
            path = there[name] / f"{name}.csv"
            records = read_table(path, ("condition", "n_seeds"), "make_table")
            entries += missing_rows(name, title_of(name), records, settings)
    command = "make demo" if simulated else "snakemake --profile slurm figures"
    for name, caption in CAPTIONS.items():
        if name not in figures:
            how = f"{command}; needs {caption.needs}" if caption.needs else command
            entries.append(NotRun(f"Figure: {caption.title}", (), how))
    return tuple(entries)
