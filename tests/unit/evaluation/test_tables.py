"""Tables: the paper's numbers, ours beside them, and every format from the same cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.data.trials import TRIAL_COLUMNS
from brainit.evaluation.paper import paper_table
from brainit.evaluation.score import SUMMARY_COLUMNS
from brainit.evaluation.summaries import Summaries
from brainit.evaluation.table_files import (
    Block,
    Table,
    as_html,
    as_latex,
    as_markdown,
    write_table_files,
)
from brainit.evaluation.tables import count_training_trials, format_score, make_tables

PAPER_METRICS = ("PixCorr", "SSIM", "Alex(2)", "Alex(5)", "Incep", "CLIP", "Eff", "SwAV")


def write_summary(path: Path, means: dict[str, float]) -> Path:
    rows = [(m, v, v - 0.1, v + 0.1, 100, "higher", 0.5, np.nan) for m, v in means.items()]
    pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).to_csv(path, index=False)
    return path


def test_every_published_table_has_its_rows_and_eight_metrics() -> None:
    sizes = {"table1": 14, "t1": 2, "t2": 4, "t3": 7, "t4": 3, "t5": 3, "t6": 4, "t7": 3}
    for name, n_rows in sizes.items():
        table = paper_table(name)
        assert len(table.rows) == n_rows
        if name != "t6":
            assert table.metrics == PAPER_METRICS
            assert table.lower_is_better == ("Eff", "SwAV")
        for row in table.rows:
            assert set(row.values) == set(table.metrics)
            for metric, value in row.values.items():
                is_percent = metric.startswith(("Alex", "Incep", "CLIP")) and name != "t6"
                assert (50 < value <= 100) if is_percent else (0 < value < 1)


def test_published_rows_that_must_agree() -> None:
    """The full method's row is the same in Table 1, T1, T2, T3 and T4."""
    main = paper_table("table1").row("Brain-IT").values
    assert main["PixCorr"] == 0.386 and main["CLIP"] == 96.4 and main["SwAV"] == 0.320
    for name, method in (("t1", "with"), ("t2", "functional"), ("t3", "128"), ("t4", "combined")):
        assert paper_table(name).row(method).values == main
    assert paper_table("table1").row("Brain-IT", "1h").values["Eff"] == 0.648
    assert paper_table("table1").row("UMBRAE 2024").n_test == 982
    with pytest.raises(KeyError):
        paper_table("t4").row("nothing")


def test_real_data_have_paper_ours_and_difference(tmp_path: Path) -> None:
    paths = {}
    for subject, pixcorr in (("subj01", 0.40), ("subj02", 0.36), ("subj03", 0.0)):
        means = {"PixCorr": pixcorr, "Alex(2)": 97.9}
        paths[f"{subject}/40h/fused"] = write_summary(tmp_path / f"{subject}.csv", means)
    counts = {("subj01", "40h"): 24000, ("subj02", "40h"): 24300}
    table = make_tables(Summaries(paths), counts, parse_sections({}))[0]
    rows = table.records.set_index(["condition", "metric"])
    label = "Brain-IT, 40 h (24,000 / 24,300 training trials)"
    row = rows.loc[label, "PixCorr"]
    assert row["subjects"] == "subj01 subj02"  # subj03 is none of the paper's
    assert (row["paper"], row["ours"]) == (0.386, pytest.approx(0.38))
    assert row["difference"] == pytest.approx(-0.006)
    assert not row["simulation"]
    block = next(block for block in table.blocks if block.heading == label)
    assert block.columns == ("metric", "paper", "ours", "95 % interval", "difference")
    assert ("PixCorr ↑", "0.386", "0.380", "0.280 to 0.480", "−0.006") in block.rows
    assert ("Alex(2) ↑", "98.4", "97.9", "97.8 to 98.0", "−0.5") in block.rows
    assert ("Eff ↓", "0.564", "–", "–", "–") in block.rows
    assert table.title == "Table 1: reconstruction on NSD"


def test_simulation_says_so_and_computes_no_difference(tmp_path: Path) -> None:
    means = {"PixCorr": 0.7, "demo_resnet.mid.two_way": 93.21}
    paths = {"subj01/40h/fused": write_summary(tmp_path / "a.csv", means)}
    settings = parse_sections({"run": {"simulation": True}})
    for table in make_tables(Summaries(paths), {("subj01", "40h"): 2430}, settings):
        assert "(simulation)" in table.title
        assert table.records[["paper", "difference"]].isna().all(axis=None)
        assert table.records["simulation"].all()
        for text in (as_markdown(table), as_html(table), as_latex(table)):
            assert "No difference from the paper is" in text
            assert "Simulation" in text
    table = make_tables(Summaries(paths), {("subj01", "40h"): 2430}, settings)[0]
    assert table.blocks[0].heading == "Brain-IT, 40 h (2,430 training trials), simulation"
    assert table.blocks[0].columns == ("metric", "simulation", "95 % interval", "chance")
    assert ("demo_resnet.mid.two_way ↑", "93.2", "93.1 to 93.3", "0.5") in table.blocks[0].rows


def test_formats_of_one_small_table(tmp_path: Path) -> None:
    block = Block("Paper & ours", ("metric", "x_1 ↑"), (("PixCorr", "−0.1"), ("a|b", "50 %")))
    table = Table("t9", "T9 <small>", (block,), pd.DataFrame({"a": [1.5]}), ("a note",))
    assert as_markdown(table) == (
        "# T9 <small>\n\n**Paper & ours**\n\n| metric | x_1 ↑ |\n| :-- | --: |\n"
        "| PixCorr | −0.1 |\n| a\\|b | 50 % |\n\n- a note\n"
    )
    assert as_html(table) == (
        "<section>\n<h2>T9 &lt;small&gt;</h2>\n<h3>Paper &amp; ours</h3>\n<table>\n"
        "<tr><th>metric</th><th>x_1 ↑</th></tr>\n<tr><td>PixCorr</td><td>−0.1</td></tr>\n"
        "<tr><td>a|b</td><td>50 %</td></tr>\n</table>\n<ul><li>a note</li></ul>\n</section>\n"
    )
    latex = as_latex(table)
    assert "metric & x\\_1 $\\uparrow$ \\\\\n\\midrule\nPixCorr & $-$0.1 \\\\\n" in latex
    assert "Paper \\& ours" in latex and "50 \\%" in latex
    write_table_files(tmp_path, table)
    names = sorted(path.name for path in (tmp_path / "t9").iterdir())
    assert names == ["t9.csv", "t9.html", "t9.md", "t9.tex"]
    assert (tmp_path / "t9" / "t9.csv").read_text() == "a\n1.5\n"


def test_scores_as_text() -> None:
    assert format_score("PixCorr", 0.38649) == "0.386"
    assert format_score("Incep", 97.26) == "97.3"
    assert format_score("demo.mid.two_way", 50.0, sign=True) == "+50.0"
    assert format_score("Eff", -0.0123, sign=True) == "−0.012"
    assert format_score("SSIM", float("nan")) == "–"
    assert format_score("net.final.image_retrieval_100way", 3.0) == "3.0"


def test_training_trials_by_duration(tmp_path: Path) -> None:
    """Session 1 has runs 1 to 12, session 2 one run; half of the trials train."""
    rows = [
        (2 * run + half, session, number, 0, 0, 0, False, ("train", "test")[half])
        for run, (session, number) in enumerate([(1, r) for r in range(1, 13)] + [(2, 1)])
        for half in (0, 1)
    ]
    pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).to_csv(tmp_path / "trials.csv", index=False)
    counts = count_training_trials({"subj01": tmp_path / "trials.csv"})
    assert {name: counts["subj01", name] for name in ("40h", "1h", "30min", "15min")} == {
        "40h": 13,
        "1h": 12,
        "30min": 6,
        "15min": 3,
    }


def test_summaries_average_over_subjects_and_refuse_other_names(tmp_path: Path) -> None:
    paths = {
        f"subj0{i}/1h/fused": write_summary(tmp_path / f"{i}.csv", {"PixCorr": 0.1 * i})
        for i in (1, 3)
    }
    found = Summaries(paths)
    score = found.mean("1h", "fused", "PixCorr")
    assert score is not None and score.mean == pytest.approx(0.2)
    assert score.ci_high == pytest.approx(0.3)
    assert found.mean("1h", "fused", "PixCorr", ("subj03",)).mean == pytest.approx(0.3)  # type: ignore[union-attr]
    assert found.mean("40h", "fused", "PixCorr") is None
    assert found.mean("1h", "fused", "Eff") is None
    with pytest.raises(PipelineError, match="SUBJECT/RUN/KIND"):
        Summaries({"subj01/1h": tmp_path / "1.csv"})
