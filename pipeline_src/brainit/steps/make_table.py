"""Write one table: paper, ours and their difference (section 5, appendix A)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.files import write_table_files
from brainit.evaluation.tables.records import Results, count_training_trials
from brainit.evaluation.tables.run_scores import ImageScores, Summaries


@dataclass(frozen=True)
class Files:
    """The table, its inputs and the folder to write; runs are named subj01/40h/fused."""

    name: str
    """table1, t1 ... t7, sessions ..."""
    metrics: Mapping[str, Path]
    """Scores of each image, by run."""
    summaries: Mapping[str, Path]
    """Mean scores, by run."""
    trials: Mapping[str, Path]
    """Trial tables, by subject."""
    out: Path
    """Folder of the tables."""
    classes: Path | None = None
    """Classes of NSD-synthetic's images (.csv)."""
    encoder: Mapping[str, Path] = field(default_factory=dict)
    """The encoder's accuracy, by subject."""
    costs: Mapping[str, Path] = field(default_factory=dict)
    """Histories of the peers, by training."""
    identification: Mapping[str, Path] = field(default_factory=dict)
    """Tables of identification, by source, for T6 and the tables of retrieval and peers."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "make_table", __doc__, Files)
    files = args[Files]
    images = ImageScores(files.metrics)
    classes: dict[int, str] = {}
    if files.classes:  # one table's; the readers of NSD's files take a third of the others' start
        from brainit.data.nsd.nsdsynthetic import read_classes

        classes = read_classes(files.classes)
    results = Results(
        images,
        Summaries(files.summaries),
        count_training_trials(files.trials, images.runs()),
        classes,
        files.encoder,
        files.costs,
        files.identification,
    )
    (table,) = make_tables([files.name], results, args.settings)
    write_table_files(files.out, table)


if __name__ == "__main__":
    run_step("make_table", main)
