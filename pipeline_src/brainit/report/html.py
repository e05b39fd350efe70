"""One HTML file with tables, checks, figures and provenance; it needs no other file."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.core.settings import Settings
from brainit.data.recons import PROVENANCE_NAME
from brainit.evaluation.check import CHECK_COLUMNS, HOLDS
from brainit.evaluation.paper import paper_table
from brainit.evaluation.table_rows import TABLES, command_of

CAPTIONS: dict[str, str] = {
    "montage": "Seen images and what each branch gives back; the first shared test images.",
    "data_scaling": "Scores of the fused images by amount of data of the subject; bars: 95 %.",
    "encoder_accuracy": "Correlation of predicted and measured responses of each voxel.",
    "clusters_by_area": "True areas of the voxels of each cluster, and how many subjects share it.",
    "attention_maps": "Where in the image each cluster is read, and from which hemisphere.",
    "learning_curves": "Training of every model.",
}
"""Caption of each figure, in the report's order."""


def make_report(
    tables: Sequence[Path],
    figures: Path,
    recons: Mapping[str, Path],
    ceilings: Mapping[str, Path],
    checks: Path | None,
    settings: Settings,
) -> str:
    """Return the report as HTML.

    `tables` are folders of tables (or files in them); the paper's others are named as not run.
    `recons` by subject/run and `ceilings` by subject. Raises `PipelineError` where one of them is
    missing.
    """
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in tables)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brainit.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = None if checks is None else read_table(checks, CHECK_COLUMNS, "check_results")
    simulated = settings.run.simulation
    return environment.get_template("report.html").render(
        title="Brain-IT: reconstructions from " + ("a simulated brain" if simulated else "NSD"),
        simulated=simulated,
        tables=[_read_text(folder / f"{folder.name}.html", "make_tables") for folder in folders],
        not_run=[
            {"title": paper_table(name).title, "command": command_of(name, simulated)}
            for name in TABLES
            if name not in {folder.name for folder in folders}
        ],
        checks=None if found is None else _check_rows(found),
        verdict=None if found is None else _verdict(found),
        figures=_figures(figures),
        ceilings=_ceiling_rows(ceilings),
        runs=[_run_row(name, folder) for name, folder in recons.items()],
        settings=json.dumps(_sections(settings), indent=1, sort_keys=True),
    )


def write_report(path: Path, report: str) -> None:
    """Write the report, whole or not at all."""
    write_text(path, report)


def _sections(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json", include={"run", "nsd", "features", "evaluation"})


def _read_text(path: Path, made_by: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(path, "a file of the report", str(error), f"run {made_by}") from error


def _verdict(checks: pd.DataFrame) -> str:
    claims = checks[checks["threshold"].notna()]
    return f"{int((claims['verdict'] == HOLDS).sum())} of {len(claims)} checks hold"


def _check_rows(checks: pd.DataFrame) -> list[dict[str, str]]:
    numbers = ("value", "null", "threshold")
    return [
        {
            column: _number(row[column]) if column in numbers else str(row[column])
            for column in CHECK_COLUMNS
        }
        for row in checks.to_dict("records")
    ]


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.4g}"


def _figures(folder: Path) -> list[dict[str, str]]:
    """Return the figures as data URLs, known ones in the order of their captions."""
    paths = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if not paths:
        raise PipelineError(folder, "figures (.png)", "none", "run make_figures")
    names = [
        *(name for name in CAPTIONS if name in paths),
        *(n for n in paths if n not in CAPTIONS),
    ]
    return [
        {
            "name": name,
            "caption": CAPTIONS.get(name, name),
            "data": base64.b64encode(paths[name].read_bytes()).decode("ascii"),
        }
        for name in names
    ]


def _ceiling_rows(ceilings: Mapping[str, Path]) -> dict[str, list[list[str]]]:
    """Return head and rows of the noise ceiling summaries of all subjects."""
    found = [read_table(path, ("subject",), "estimate_noise_ceiling") for path in ceilings.values()]
    joined = pd.concat(found) if found else pd.DataFrame()
    rows = [
        [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
        for row in joined.itertuples(index=False)
    ]
    return {"head": [[str(name) for name in joined.columns]], "rows": rows}


def _run_row(name: str, folder: Path) -> dict[str, str]:
    path = folder / PROVENANCE_NAME
    try:
        record = json.loads(_read_text(path, "gather_reconstructions"))
    except ValueError as error:
        fix = "delete the folder and rerun gather_reconstructions"
        raise PipelineError(path, "a run's provenance", str(error), fix) from error
    versions = record.get("versions", {})
    return {
        "run": name,
        "images": str(record.get("n_images", "–")),
        "seed": str(record.get("seed", "–")),
        "threads": str(record.get("threads", "–")),
        "settings": str(record.get("settings_digest", "–"))[:16],
        "recons": str(record.get("sha256", {}).get("recons.h5", "–"))[:16],
        "versions": ", ".join(f"{key} {value}" for key, value in sorted(versions.items())),
    }
