"""Write the report: one HTML file with tables, checks, figures, images, costs and provenance."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from brainit.core.artifacts import read_table
from brainit.core.files import write_text
from brainit.core.settings import Settings
from brainit.evaluation.checks.verdict import CHECK_COLUMNS
from brainit.report.browser import image_browser
from brainit.report.content import (
    Grid,
    ceiling_grid,
    check_rows,
    citations,
    data_grid,
    missing_entries,
    read_figures,
    read_text,
    run_grid,
    summary_of,
    verdict_of,
)
from brainit.report.timing import cost_rows, read_costs


@dataclass(frozen=True)
class ReportInputs:
    """The files that the report shows.

    `tables` are folders of tables or files in them. `recons`, by subject/run, are the runs in the
    image browser, `other_runs` those in tables only. `metrics` per image are by subject/run/kind,
    `trials` and `ceilings` by subject. `checks` is None for a report without checks; `benchmarks`
    is the folder of Snakemake's benchmark files.
    """

    tables: tuple[Path, ...]
    figures: Path
    recons: Mapping[str, Path]
    metrics: Mapping[str, Path]
    stimuli: Path
    trials: Mapping[str, Path]
    ceilings: Mapping[str, Path]
    checks: Path | None = None
    benchmarks: Path | None = None
    other_runs: Mapping[str, Path] = field(default_factory=dict)


def make_report(inputs: ReportInputs, settings: Settings) -> str:
    """Return the report as HTML; it lists tables, rows and figures that were not run.

    Raises `PipelineError` if a file is missing.
    """
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in inputs.tables)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brainit.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    simulated, runs = settings.run.simulation, {**inputs.recons, **inputs.other_runs}
    figures = read_figures(inputs.figures)
    checks = None
    if inputs.checks is not None:
        checks = read_table(inputs.checks, CHECK_COLUMNS, "check_results")
    return environment.get_template("report.html").render(
        title="Brain-IT: reconstructions from " + ("a simulated brain" if simulated else "NSD"),
        simulated=simulated,
        summary=summary_of(settings, runs),
        data=data_grid(inputs.trials, inputs.ceilings),
        settings=settings_text(settings),
        checks=None if checks is None else check_rows(checks),
        verdict=None if checks is None else verdict_of(checks),
        tables=[read_text(folder / f"{folder.name}.html", "make_table") for folder in folders],
        not_run=missing_entries(folders, {figure.name for figure in figures}, settings),
        figures=figures,
        browser=image_browser(inputs.recons, inputs.metrics, inputs.stimuli),
        ceilings=ceiling_grid(inputs.ceilings),
        costs=_cost_grid(inputs.benchmarks),
        runs=run_grid(runs),
        citations=citations(),
    )


def settings_text(settings: Settings) -> str:
    """Return as JSON the settings that the step was given; others may have had any value."""
    values = settings.model_dump(mode="json", exclude={"paths", "lab"}, exclude_unset=True)
    return json.dumps(values, indent=1)


def _cost_grid(folder: Path | None) -> Grid:
    head = ("step", "jobs", "total time", "longest job", "CPU time", "peak memory")
    return Grid(head, tuple(tuple(row) for row in cost_rows(read_costs(folder))))


def write_report(path: Path, report: str) -> None:
    """Write the report, whole or not at all."""
    write_text(path, report)
