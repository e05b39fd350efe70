"""What a report does not hold of all that the workflow could make: tables, their rows, figures."""

from collections.abc import Collection, Iterable
from pathlib import Path

from brainit.core.artifacts import read_table
from brainit.core.settings import Settings
from brainit.evaluation.tables.not_run import NotRun, missing_rows
from brainit.evaluation.tables.rows import EVERY_TABLE, command_of, rows_of, title_of
from brainit.report.captions import CAPTIONS


def not_run(
    folders: Iterable[Path], figures: Collection[str], settings: Settings
) -> tuple[NotRun, ...]:
    """Return the tables, rows and figures that are not there; `folders` hold the tables that are.

    Raises `PipelineError` where a table's numbers cannot be read.
    """
    there = {folder.name: folder for folder in folders}
    simulated = settings.run.simulation
    found: list[NotRun] = []
    for name in EVERY_TABLE:
        if name not in there:
            found.append(NotRun(title_of(name), (), command_of(name, simulated)))
        elif rows_of(name).conditions:
            path = there[name] / f"{name}.csv"
            records = read_table(path, ("condition", "n_seeds"), "make_table")
            found += missing_rows(name, title_of(name), records, settings)
    command = "make demo" if simulated else "snakemake --profile slurm figures"
    for name, caption in CAPTIONS.items():
        if name not in figures:
            how = f"{command}; it needs {caption.needs}" if caption.needs else command
            found.append(NotRun(f"Figure: {caption.title}", (), how))
    return tuple(found)
