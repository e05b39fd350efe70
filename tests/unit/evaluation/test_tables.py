"""Tables: the paper's numbers, ours beside them, and every format from the same cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up import results_of, write_summary

from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.data.trials import TRIAL_COLUMNS
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.files import (
    Block,
    Table,
    as_html,
    as_latex,
    as_markdown,
    format_p,
    format_score,
    write_table_files,
)
from brainit.evaluation.tables.notes import POOLED_NOTE
from brainit.evaluation.tables.records import Results, count_training_trials
from brainit.evaluation.tables.rows import TABLES, paper_table
from brainit.evaluation.tables.run_scores import ImageScores, Summaries

PAPER_METRICS = ("PixCorr", "SSIM", "Alex(2)", "Alex(5)", "Incep", "CLIP", "Eff", "SwAV")


def test_every_published_table_has_its_rows_and_eight_metrics() -> None:
    sizes = {"table1": 14, "t1": 2, "t2": 4, "t3": 7, "t4": 3, "t5": 3, "t6": 4, "t7": 3}
    assert set(TABLES) == set(sizes)
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
    scores = {
        f"{subject}/40h/fused": {"PixCorr": [pixcorr] * 5, "Alex(2)": [97.0, 98.0] * 2 + [99.5]}
        for subject, pixcorr in (("subj01", 0.40), ("subj02", 0.36), ("subj03", 0.0))
        + (("subj05", 0.39), ("subj07", 0.37))
    }
    counts = {("subj01", "40h"): 24000, ("subj02", "40h"): 24300}
    table = make_tables(["table1"], results_of(tmp_path, scores, counts), parse_sections({}))[0]
    label = "Brain-IT, 40 h (24,000 / 24,300 training trials)"
    rows = table.records.set_index(["condition", "metric", "subjects"])
    row = rows.loc[label, "PixCorr", "subj01 subj02 subj05 subj07"]  # subj03 is not the paper's
    assert (row["paper"], row["ours"]) == (0.386, pytest.approx(0.38))
    assert row["difference"] == pytest.approx(-0.006)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.38), pytest.approx(0.38))
    assert (row["n_images"], row["n_training_trials"]) == (5, 48300)
    assert not row["simulation"]
    own = rows.loc[label, "PixCorr", "subj02"]
    assert own["ours"] == pytest.approx(0.36)
    assert np.isnan(own["paper"])  # no subject's own numbers are published
    heading = f"{label}, mean of subj01, subj02, subj05, subj07"
    block = next(block for block in table.blocks if block.heading == heading)
    assert block.columns[:5] == ("metric", "paper", "ours", "95 % interval", "difference")
    assert block.columns[5:] == ("subj01", "subj02", "subj05", "subj07")
    known = ("PixCorr ↑", "0.386", "0.380", "0.380 to 0.380", "−0.006")
    assert (*known, "0.400", "0.360", "0.390", "0.370") in block.rows
    assert ("Eff ↓", "0.564", *("–",) * 7) in block.rows
    assert next(row for row in block.rows if row[0] == "Alex(2) ↑")[2] == "97.9"
    assert table.title == "Table 1: reconstruction on NSD"
    notes = "\n".join(table.notes)
    (lacking,) = (note for note in table.notes if note.startswith("Not run: "))
    assert "Brain-IT, 1 h; " in lacking and "ridge" in lacking
    assert lacking.endswith("Command: snakemake --profile slurm tables")
    assert "released code (C): test images 5 (P: 1,000)." in notes
    assert "paper's subjects" not in notes and "No difference" not in notes


def test_a_mean_of_fewer_subjects_than_the_papers_has_no_difference(tmp_path: Path) -> None:
    """The paper's own subj01 is at .396 after 1 h, its four subjects at .331."""
    scores = {f"{s}/1h/fused": {"PixCorr": [0.396] * 3} for s in ("subj01", "subj02")}
    results = results_of(tmp_path, scores, {})
    table, of_one = make_tables(["table1", "t7"], results, parse_sections({}))
    row = table.records.query("metric == 'PixCorr'").iloc[0]
    assert (row["paper"], row["ours"]) == (0.331, pytest.approx(0.396))
    assert np.isnan(row["difference"])
    block = next(block for block in table.blocks if "mean of subj01, subj02" in block.heading)
    assert block.rows[0][:3] == ("PixCorr ↑", "0.331", "0.396") and block.rows[0][4] == "–"
    notes = "\n".join(table.notes)
    assert "No difference computed for means that lack one of the paper's subjects" in notes
    assert "released code (C): subjects 2 (P: 4); test images 3" in notes
    row = of_one.records.query("metric == 'PixCorr'").iloc[0]
    assert row["difference"] == pytest.approx(0.0) and "lack one" not in "\n".join(of_one.notes)
    assert any("15 and 30 min" in note and "nsd.zscore" in note for note in of_one.notes)
    assert not any("nsd.zscore" in note for note in table.notes)
    own = parse_sections({"nsd": {"zscore": "training_trials"}})
    assert not any("15 and 30 min" in n for n in make_tables(["t7"], results, own)[0].notes)


def test_subjects_that_are_none_of_the_papers(tmp_path: Path) -> None:
    """Left out of a mean that others have part in; alone, shown without a difference."""
    scores = {f"{s}/40h/fused": {"PixCorr": [0.3, 0.4]} for s in ("subj01", "subj03")}
    both = parse_sections({"nsd": {"evaluated": ["subj01", "subj03"]}})
    table = make_tables(["table1"], results_of(tmp_path, scores, {}), both)[0]
    assert set(table.records["subjects"]) == {"subj01"}
    assert "Left out, not among the paper's subjects: subj03." in table.notes
    alone = parse_sections({"nsd": {"evaluated": ["subj03"]}})
    results = results_of(tmp_path, {"subj03/40h/fused": {"PixCorr": [0.3, 0.4]}}, {})
    table, retrieval = make_tables(["table1", "seeds"], results, alone)
    row = table.records.set_index("metric").loc["PixCorr"]
    assert row["ours"] == pytest.approx(0.35) and np.isnan(row["paper"])
    assert "No difference computed, not among the paper's subjects: subj03." in table.notes
    assert not any("Brain-IT, 40 h" in note for note in table.notes if "Not run" in note)
    assert set(retrieval.records["subjects"]) == {"subj03"}


def test_rows_of_other_subjects_than_the_reference_row_s_are_not_compared(tmp_path: Path) -> None:
    scores = {
        f"{name}/fused": {"PixCorr": [0.3, 0.4], "SSIM": [0.5, 0.6]}
        for name in ("subj01/40h", "subj01/1h", "subj02/1h")
    }
    table = make_tables(["table1"], results_of(tmp_path, scores, {}), parse_sections({}))[0]
    assert "Brain-IT, 1 h, mean of subj01, subj02" in [block.heading for block in table.blocks]
    assert not any(block.heading.startswith("Difference from") for block in table.blocks)
    del scores["subj02/1h/fused"], scores["subj01/1h/fused"]["SSIM"]
    scores["subj01/15min/fused"] = scores["subj01/40h/fused"]
    table = make_tables(["sessions"], results_of(tmp_path, scores, {}), parse_sections({}))[0]
    block = next(block for block in table.blocks if block.heading.startswith("Difference from"))
    assert block.columns == ("metric", "transfer, 15 min", "transfer, 1 h")
    cells = {row[0]: row[1:] for row in block.rows}
    assert cells["SSIM ↑"][1] == "–" != cells["PixCorr ↑"][1]


def test_rows_are_compared_image_by_image(tmp_path: Path) -> None:
    """Twenty images, each 0.02 better when fused: a difference without spread, p of 2 / 2^20."""
    base = np.random.default_rng(3).uniform(0.2, 0.6, 20)
    scores = {
        "subj01/40h/fused": {"PixCorr": (base + 0.02).tolist()},
        "subj01/40h/semantic": {"PixCorr": base.tolist()},
        "subj01/40h/lowlevel": {"PixCorr": (base + 0.02).tolist()},
    }
    table = make_tables(["t4"], results_of(tmp_path, scores, {}), parse_sections({}))[0]
    rows = table.records[table.records["metric"] == "PixCorr"].set_index("condition")
    assert rows.loc["combined, 40 h", "compared_with"] == ""
    semantic = rows.loc["semantic only, 40 h"]
    assert semantic["compared_with"] == "combined, 40 h"
    for name in ("paired_difference", "paired_ci_low", "paired_ci_high"):
        assert semantic[name] == pytest.approx(-0.02)
    assert semantic["p_value"] < 1e-4
    assert rows.loc["low-level only, 40 h", "p_value"] == 1.0
    block = next(b for b in table.blocks if b.heading.startswith("Difference from combined, 40 h,"))
    assert ("PixCorr ↑", "+0.000 (p = 1.000)", "−0.020 (p < 0.001)") in block.rows


def test_further_metrics_hold_retrieval_as_the_paper_gives_it(tmp_path: Path) -> None:
    column = "clip_vit_l14.embedding.image_retrieval_1000way"
    scores = {"subj01/40h/fused": {column: [100.0, 0.0, 0.0, 100.0], "SSIM_RGB": [0.4] * 4}}
    table = make_tables(["t6"], results_of(tmp_path, scores, {}), parse_sections({}))[0]
    cells = {row[0]: row for row in table.blocks[0].rows}
    assert cells["CLIP retrieval (1000-way) ↑"][1:3] == ("0.393", "0.500")
    assert cells[f"{column} ↑"][1:3] == ("–", "50.0")
    assert cells["SSIM_RGB ↑"][4] == "−0.072"
    assert "98.8" in as_markdown(table)  # MindEye2's retrieval stands below
    (note,) = [note for note in table.notes if note.startswith("Retrieval among 300 images")]
    assert "mean of subj01, subj02, subj05, subj07" in note and "not comparable" in note


def test_ablations_without_runs_say_what_makes_them(tmp_path: Path) -> None:
    scores = {
        "subj01/40h/fused": {"PixCorr": [0.3, 0.4]},
        "subj01/40h_k8/fused": {"PixCorr": [0.2, 0.3]},
        "subj01/40h_k128/fused": {"PixCorr": [0.3, 0.4]},
    }
    results = results_of(tmp_path, scores, {})
    names = ["t1", "t2", "t3", "t5"]
    t1, t2, t3, t5 = make_tables(names, results, parse_sections({}))
    assert any("without external images, 40 h. Command: snakemake" in note for note in t1.notes)
    assert any("Schaefer-400" in note and "clusters.atlas" in note for note in t2.notes)
    assert len(t5.blocks) == 1 and "As published" in t5.blocks[0].heading
    rows = t3.records.set_index(["condition", "metric"])
    assert rows.loc[("8 clusters, 40 h", "PixCorr"), "paper"] == 0.379
    assert rows.loc[("8 clusters, 40 h", "PixCorr"), "compared_with"] == "128 clusters, 40 h"
    simulated = parse_sections({"run": {"simulation": True}})
    note = next(n for n in make_tables(["t3"], results, simulated)[0].notes if "Not run" in n)
    assert note.endswith("Command: make demo-full") and "16 clusters" in note


def test_tables_repeat_bit_for_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(size=(2, 30)).tolist()
    scores = {
        f"subj01/{run}/fused": {"PixCorr": v} for run, v in zip(("40h", "1h"), values, strict=True)
    }
    for folder in ("a", "b"):
        results = results_of(tmp_path, scores, {("subj01", "40h"): 2430})
        for table in make_tables(list(TABLES), results, parse_sections({})):
            write_table_files(tmp_path / folder, table)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 4 * len(TABLES)
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_simulation_says_so_and_computes_no_difference(tmp_path: Path) -> None:
    scores = {"subj01/40h/fused": {"PixCorr": [0.7] * 3, "demo_resnet.mid.two_way": [93.21] * 3}}
    settings = parse_sections({"run": {"simulation": True}, "dip": {"iterations": 130}})
    results = results_of(tmp_path, scores, {("subj01", "40h"): 2430})
    for table in make_tables(["table1", "t4", "t7"], results, settings):
        assert "(simulation)" in table.title
        assert table.records[["paper", "difference"]].isna().all(axis=None)
        assert table.records["simulation"].all()
        for text in (as_markdown(table), as_html(table), as_latex(table)):
            assert "no difference is computed" in text.lower()
            assert "Simulation" in text
            assert "DIP iterations 130 (P: 2,000; C: 1,800)" in text
    table = make_tables(["table1"], results, settings)[0]
    assert table.blocks[0].heading == "Brain-IT, 40 h (2,430 training trials), subj01, simulation"
    assert table.blocks[0].columns == ("metric", "simulation", "95 % interval", "chance")
    assert ("demo_resnet.mid.two_way ↑", "93.2", "93.2 to 93.2", "0.5") in table.blocks[0].rows


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
    assert format_score("CLIP retrieval (1000-way)", 0.393) == "0.393"
    texts = [format_p(p) for p in (0.0004, 0.0316, float("nan"))]
    assert texts == ["p < 0.001", "p = 0.032", "p –"]


def test_training_trials_by_duration(tmp_path: Path) -> None:
    """Session 1 has runs 1 to 12, session 2 one run; a third of the trials each train, validate."""
    rows = [
        (3 * run + part, session, number, 0, 0, 0, False, ("train", "val", "test")[part])
        for run, (session, number) in enumerate([(1, r) for r in range(1, 13)] + [(2, 1)])
        for part in (0, 1, 2)
    ]
    pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).to_csv(tmp_path / "trials.csv", index=False)
    counts = count_training_trials(
        {"subj01": tmp_path / "trials.csv"},
        ("40h", "2h", "1h", "30min", "15min", "1h_scratch", "first2", "40h_k8"),
    )
    assert {name: counts["subj01", name] for name in ("40h", "2h", "1h", "30min", "15min")} == {
        "40h": 13,
        "2h": 26,
        "1h": 24,
        "30min": 12,
        "15min": 6,
    }
    assert counts["subj01", "1h_scratch"] == 12


def test_summaries_average_over_subjects_and_refuse_other_names(tmp_path: Path) -> None:
    paths = {
        f"subj0{i}/1h/fused": write_summary(tmp_path / f"{i}.csv", {"PixCorr": 0.1 * i})
        for i in (1, 3)
    }
    found = Summaries(paths)
    score = found.mean("1h", "fused", "PixCorr")
    assert score is not None and score.mean == pytest.approx(0.2)
    assert score.null_mean == pytest.approx(0.5) and score.n_images == 100
    assert found.mean("1h", "fused", "PixCorr", ("subj03",)).mean == pytest.approx(0.3)  # type: ignore[union-attr]
    assert found.mean("40h", "fused", "PixCorr") is None
    assert found.mean("1h", "fused", "Eff") is None
    for name in ("subj01/1h", "subj01/1h/best"):
        with pytest.raises(PipelineError) as error:
            Summaries({name: tmp_path / "1.csv"})
        assert error.value.code == "invalid-argument" and error.value.found == name
    with pytest.raises(PipelineError) as error:
        Summaries({"subj01/49h/fused": tmp_path / "1.csv"})
    assert error.value.code == "unknown-name" and error.value.found == "49h"


@pytest.mark.parametrize(
    ("images", "expected", "is_pooled"),
    [
        ({"anna": [1, 2], "ben": [2, 1]}, [0.25, 0.25], False),
        ({"anna": [1, 2], "ben": [2, 3]}, [0.1, 0.2, 0.3, 0.4], True),
        ({"anna": [1, 2], "ben": [3, 4]}, [0.1, 0.2, 0.3, 0.4], True),
        ({"subj01": [1, 2], "anna": [2, 3]}, [0.1, 0.2, 0.3, 0.4], True),
        ({"subj01": [1, 2], "subj02": [2, 3]}, [0.25], False),
    ],
)
def test_means_use_all_images_of_subjects_who_saw_other_ones(
    tmp_path: Path, images: dict[str, list[int]], expected: list[float], is_pooled: bool
) -> None:
    """Scores .1, .2 and .3, .4; NSD's subjects keep the images that all of them saw."""
    paths, values = {}, iter((0.1, 0.2, 0.3, 0.4))
    for subject, ids in images.items():
        path = tmp_path / f"{subject}.csv"
        pd.DataFrame({"nsd_id": ids, "PixCorr": [next(values) for _ in ids]}).to_csv(
            path, index=False
        )
        paths[f"{subject}/40h/fused"] = path
    scores, simulated = ImageScores(paths), parse_sections({"run": {"simulation": True}})
    found = scores.values(sorted(images), "40h", "fused", "PixCorr")
    assert found is not None and sorted(found) == pytest.approx(sorted(expected))
    (table,) = make_tables(["table1"], Results(scores, Summaries({}), {}), simulated)
    assert (POOLED_NOTE in table.notes) == is_pooled


def test_image_scores_join_the_images_that_all_subjects_have(tmp_path: Path) -> None:
    pd.DataFrame({"nsd_id": [3, 1], "PixCorr": [0.3, 0.1]}).to_csv(tmp_path / "1.csv", index=False)
    pd.DataFrame({"nsd_id": [1, 2], "PixCorr": [0.5, 0.9]}).to_csv(tmp_path / "2.csv", index=False)
    paths = {f"subj0{i}/1h/fused": tmp_path / f"{i}.csv" for i in (1, 2)}
    found = ImageScores(paths).values(("subj01", "subj02"), "1h", "fused", "PixCorr")
    assert found is not None and found.to_dict() == {1: pytest.approx(0.3)}
    assert ImageScores(paths).values(("subj01", "subj03"), "1h", "fused", "PixCorr") is None
    assert ImageScores(paths).values(("subj01",), "1h", "fused", "Eff") is None
    with pytest.raises(PipelineError) as error:
        ImageScores({"subj01/1h": tmp_path / "1.csv"})
    assert error.value.code == "invalid-argument"
    pd.DataFrame({"nsd_id": [3, 3], "PixCorr": [0.3, 0.1]}).to_csv(tmp_path / "1.csv", index=False)
    with pytest.raises(PipelineError) as error:
        ImageScores(paths)
    assert error.value.code == "duplicate-data" and "3" in error.value.found
