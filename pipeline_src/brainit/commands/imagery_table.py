"""`brainit imagery-table RESULTS`: scores of NSD-Imagery, seen and imagined, in a table of its own.

Reads the scores that the workflow made (`metrics/nsdimagery_imagery_fused.csv` and the like).
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.workflow.runs import NSDIMAGERY

logger = logging.getLogger(__name__)

NAME = "nsdimagery"
CLASSES = ("simple", "complex")
NOTES = (
    "Means over the pictures of a class, then over subjects. Test trials of a picture are averaged:"
    " 8 that were seen, 16 that were imagined; betas are z-scored within each run.",
    "Pictures are identified among 12, not among 1,000 as in the other tables: chance is 50 %, with"
    " a far larger spread. Do not compare the two.",
    "Words have no picture to compare with and are left out. Models were trained on NSD's pictures"
    " that were seen.",
    "No published numbers beside ours: those of arXiv 2506.06898 and 2605.17198 are not recorded"
    " here.",
)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("imagery-table", help="scores of NSD-Imagery as a table")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("--kind", default="fused", help="lowlevel, semantic or fused (default)")
    parser.add_argument("--out", type=Path, help="folder to write; default RESULTS/tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the table; raise `PipelineError` where no subject has scores."""
    from brainit.evaluation.tables.files import Table, write_table_files

    records = imagery_records(args.results, args.kind)
    title = f"NSD-Imagery: pictures seen and imagined, {args.kind}"
    table = Table(NAME, title, tuple(task_blocks(records)), records, NOTES)
    out = args.out or args.results / "tables"
    write_table_files(out, table)
    logger.info("%s", out / NAME / f"{NAME}.md")


def imagery_records(results: Path, kind: str) -> pd.DataFrame:
    """Return subject, task, class, metric, mean and n_images of all scored subjects.

    Raises `PipelineError` where there are none, and for scores of pictures without a class.
    """
    parts = []
    for run_name in NSDIMAGERY:
        for path in sorted(results.glob(f"*/metrics/{run_name}_{kind}.csv")):
            subject = path.parents[1]
            scores = read_table(path, ("nsd_id",), "evaluate")
            classes = read_table(
                subject / run_name / "classes.csv", ("row", "class"), "prepare_nsdimagery"
            )
            joined = scores.merge(classes, left_on="nsd_id", right_on="row", how="left")
            if joined["class"].isna().any():
                expected, fix = "scores of pictures of classes.csv", "delete it and rerun evaluate"
                found = f"picture {joined.loc[joined['class'].isna(), 'nsd_id'].iloc[0]}"
                raise PipelineError(path, expected, found, fix, code="inconsistent-inputs")
            metrics = [name for name in scores.columns if name != "nsd_id"]
            tidy = joined.melt("class", metrics, "metric", "score").dropna(subset="score")
            grouped = tidy.groupby(["class", "metric"], sort=False)["score"]
            part = grouped.agg(mean="mean", n_images="size").reset_index()
            task = run_name.partition("_")[2]
            parts.append(part.assign(subject=subject.name, task=task))
    if not parts:
        fix = f"run snakemake RESULTS/subj01/metrics/{NSDIMAGERY[0]}_{kind}_summary.csv first"
        expected = f"scores of NSD-Imagery ({kind})"
        raise PipelineError(results, expected, "none", fix, code="missing-file")
    columns = ["subject", "task", "class", "metric", "mean", "n_images"]
    return pd.concat(parts, ignore_index=True)[columns]


def task_blocks(records: pd.DataFrame) -> list[Any]:
    """Return a block per task: metrics by classes, the mean over subjects."""
    from brainit.evaluation.metrics.names import direction_of
    from brainit.evaluation.tables.files import Block

    blocks = []
    for task, rows in records.groupby("task", sort=False):
        means = rows.groupby(["metric", "class"], sort=False)["mean"].mean().unstack()
        classes = [name for name in CLASSES if name in means]
        n_images = rows.groupby("class")["n_images"].max()
        columns = ("metric", *(f"{name} ({n_images[name]} pictures)" for name in classes))
        cells = tuple(
            (f"{metric} ({direction_of(str(metric))})", *(f"{row[name]:.3f}" for name in classes))
            for metric, row in means.iterrows()
        )
        blocks.append(Block(f"{task}, {rows['subject'].nunique()} subjects", columns, cells))
    return blocks
