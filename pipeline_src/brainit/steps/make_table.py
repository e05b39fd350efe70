"""Write one table: paper, ours and their difference (section 5, appendix A)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.data.nsd.nsdsynthetic import read_classes
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.files import write_table_files
from brainit.evaluation.tables.image_scores import ImageScores
from brainit.evaluation.tables.records import Results, count_training_trials
from brainit.evaluation.tables.summaries import Summaries


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("make_table", __doc__)
    parser.add_argument("--name", required=True, help="table1, t1 ... t7, sessions ...")
    for name in ("metrics", "summaries"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    parser.add_argument("--trials", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--classes", type=Path, help="classes of NSD-synthetic's images (.csv)")
    parser.add_argument("--encoder", nargs="*", default=[], help="its accuracy, subj01=PATH ...")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    results = Results(
        ImageScores(named_paths(args.metrics)),
        Summaries(named_paths(args.summaries)),
        count_training_trials(named_paths(args.trials)),
        read_classes(args.classes) if args.classes else {},
        named_paths(args.encoder),
    )
    (table,) = make_tables([args.name], results, settings)
    write_table_files(args.out, table)


if __name__ == "__main__":
    run_step("make_table", main)
