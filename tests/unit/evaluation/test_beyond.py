"""Tables beyond the paper: seeds, failures by rule, further rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up import results_of, write_images

from brainit.core.settings import parse_sections
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.failures import N_WORST, failure_cases
from brainit.evaluation.tables.files import as_markdown
from brainit.evaluation.tables.notes import NotRun, missing_rows
from brainit.evaluation.tables.rows import BEYOND, Condition
from brainit.evaluation.tables.run_scores import ImageScores

TWO_WAY = "net.a.two_way"
SIMULATED = parse_sections({"run": {"simulation": True}, "evaluation": {"n_bootstrap": 20}})


def test_spread_over_seeds(tmp_path: Path) -> None:
    scores = {
        "subj01/40h/fused": {"PixCorr": [0.1, 0.3]},
        "subj01/40h_seed43/fused": {"PixCorr": [0.2, 0.4]},
        "subj01/40h_seed5/fused": {"PixCorr": [0.5, 0.7]},
        "subj01/40h_k8_seed43/fused": {"PixCorr": [9.0, 9.0]},
    }
    table = make_tables(["seeds"], results_of(tmp_path, scores, {}), SIMULATED)[0]
    row = table.records.iloc[0]
    assert row["n_seeds"] == 3
    assert row["seed_mean"] == pytest.approx(np.mean([0.2, 0.3, 0.6]))
    assert row["seed_sd"] == pytest.approx(np.std([0.2, 0.3, 0.6], ddof=1))
    block = next(b for b in table.blocks if b.heading.startswith("Over seeds"))
    assert block.columns == ("metric", "Brain-IT, 40 h, 3 seeds")
    assert block.rows == (("PixCorr ↑", "0.367 ± 0.208"),)
    alone = {"subj01/40h/fused": scores["subj01/40h/fused"]}
    table = make_tables(["seeds"], results_of(tmp_path, alone, {}), SIMULATED)[0]
    assert table.records.iloc[0]["n_seeds"] == 1 and np.isnan(table.records.iloc[0]["seed_sd"])
    assert not any(b.heading.startswith("Over seeds") for b in table.blocks)


def test_rows_beyond_the_paper_have_no_published_numbers(tmp_path: Path) -> None:
    found = "net.a.image_retrieval_2way"
    scores = {
        "subj01/40h/fused": {"PixCorr": [0.5, 0.7], found: [100.0, 0.0], TWO_WAY: [60.0, 70.0]},
        "subj01/2h/fused": {"PixCorr": [0.4, 0.5], found: [0.0, 0.0]},
        "subj01/first2/fused": {"PixCorr": [0.1, 0.2], found: [0.0, 0.0]},
        "subj01/nsdsynthetic/fused": {"PixCorr": [0.3, 0.1, 0.2], TWO_WAY: [60.0, 70.0, 80.0]},
    }
    counts = {("subj01", "2h"): 300, ("subj01", "40h"): 2430}
    names = ["sessions", "subjects", "nsdsynthetic", "retrieval"]
    made = make_tables(names, results_of(tmp_path, scores, counts), SIMULATED)
    sessions, subjects, synthetic, retrieval = made
    assert "As published" not in "".join(as_markdown(table) for table in made[:3])
    assert all("Not in the paper." in table.notes for table in made)
    first = sessions.records.iloc[0]
    assert first["condition"] == "transfer, 2 h (300 training trials)"
    assert first["paired_difference"] == pytest.approx(-0.15)
    assert any("10 h" in note and "demo-full" in note for note in sessions.notes)
    assert subjects.records.iloc[0]["condition"] == "first 2 subjects, 40 h (2,430 training trials)"
    assert list(synthetic.records["metric"]) == ["PixCorr", TWO_WAY]
    assert list(synthetic.records["ours"]) == [pytest.approx(0.2), pytest.approx(70.0)]
    assert set(retrieval.records["metric"]) == {found}
    assert "MindEye2" in [row[0] for row in retrieval.blocks[-1].rows]
    real = make_tables(["sessions"], results_of(tmp_path, scores, counts), parse_sections({}))[0]
    assert any("transfer.further_durations" in note for note in real.notes)


def test_amounts_and_pools_of_the_settings_have_rows_in_order_of_size(tmp_path: Path) -> None:
    runs = ("40h", "20h", "450trials", "3h", "30min", "first3", "first8", "first2")
    scores = {f"subj01/{run}/fused": {"PixCorr": [0.5, 0.7]} for run in runs}
    results = results_of(tmp_path, scores, {})
    sessions, subjects = make_tables(["sessions", "subjects"], results, SIMULATED)
    assert [row.split(", ")[1] for row in sessions.records["condition"]] == [
        "30 min",
        "450 trials",
        "3 h",
        "20 h",
        "40 h",
    ]
    assert list(subjects.records["condition"]) == [
        "first 2 subjects, 40 h",
        "first 3 subjects, 40 h",
        "first 8 subjects, 40 h",
        "models of all subjects, 40 h",
    ]
    assert sessions.records["compared_with"].iloc[0] == "models of all subjects, 40 h"
    assert sessions.records["compared_with"].iloc[-1] == ""


def test_rows_that_scale_are_of_the_same_subjects(tmp_path: Path) -> None:
    """Two subjects have 1 h and 40 h, the first 15 min, too: its rows alone can be compared."""
    names = ("subj01/15min", "subj01/1h", "subj02/1h", "subj01/40h", "subj02/40h")
    scores = {f"{name}/fused": {"PixCorr": [0.5, 0.7]} for name in names}
    (table,) = make_tables(["sessions"], results_of(tmp_path, scores, {}), SIMULATED)
    assert list(table.records["subjects"]) == ["subj01"] * 3
    assert "models of all subjects, 40 h, subj01, simulation" in [b.heading for b in table.blocks]


def test_rows_by_image_class_are_means_over_the_images_of_each(tmp_path: Path) -> None:
    """Two subjects, five images numbered 70 to 74 of classes b, a, b, a and one without a class."""
    rng = np.random.default_rng(5)
    scores = {
        f"{subject}/nsdsynthetic/{kind}": {"PixCorr": rng.uniform(size=5).tolist()}
        for subject in ("subj01", "subj02")
        for kind in ("lowlevel", "fused")
    }
    plain = results_of(tmp_path, scores, {})
    results = replace(plain, classes={70: "b", 71: "a", 72: "b", 73: "a"})
    table = make_tables(["nsdsynthetic"], results, SIMULATED)[0]
    records = table.records.set_index(["condition", "image_class", "subjects"])
    assert list(dict.fromkeys(table.records["image_class"])) == ["", "b", "a"]
    places = {"": range(5), "a": (1, 3), "b": (0, 2)}
    for kind, label in (("lowlevel", "low-level only"), ("fused", "combined")):
        for image_class, images in places.items():
            for names in ("subj01", "subj02", "subj01 subj02"):
                values, others = (
                    [
                        scores[f"{subject}/nsdsynthetic/{of}"]["PixCorr"][image]
                        for image in images
                        for subject in names.split()
                    ]
                    for of in (kind, "fused")
                )
                row = records.loc[(f"NSD-synthetic, {label}, 40 h", image_class, names)]
                assert row["ours"] == pytest.approx(np.mean(values))
                assert row["n_images"] == len(images)
                assert np.isnan(row["null_mean"]) == bool(image_class)
                if kind == "lowlevel":
                    less = np.mean(values) - np.mean(others)
                    assert row["paired_difference"] == pytest.approx(less)
    low, high = records.loc[
        ("NSD-synthetic, combined, 40 h", "a", "subj01 subj02"), ["ci_low", "ci_high"]
    ]
    block = table.blocks[-1]
    assert block.heading == "By image class: NSD-synthetic, combined, 40 h"
    assert block.columns == ("metric", "b (2 images)", "a (2 images)")
    assert block.rows[0][0] == "PixCorr ↑"
    assert block.rows[0][2].endswith(f"({low:.3f} to {high:.3f})")
    assert any("Image class" in note for note in table.notes)
    bare = make_tables(["nsdsynthetic"], plain, SIMULATED)[0]
    assert "image_class" not in bare.records and len(bare.blocks) == len(table.blocks) - 2
    pd.testing.assert_frame_equal(
        table.records[table.records["image_class"] == ""].drop(columns="image_class"), bare.records
    )


def test_labels_and_durations_of_runs() -> None:
    runs = ("2h", "450trials", "1h_scratch", "nsdsynthetic", "first2", "40h_seed1")
    durations = ["2h", "450trials", "1h", "40h", "40h", "40h"]
    assert [Condition("", run, "fused").duration.name for run in runs] == durations
    headings = [Condition("x", run, "fused").heading for run in ("2h", "450trials", "first2")]
    assert headings == ["x, 2 h", "x, 450 trials", "x, 40 h"]
    tables = [rows for rows in BEYOND.values() if rows.conditions]
    assert all(0 <= rows.reference < len(rows.conditions) for rows in tables)


def records_of(*rows: tuple[str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["condition", "n_seeds"])


def test_rows_that_were_not_run_and_what_makes_them() -> None:
    """By hand: the rows that each table lacks, named as in the table."""
    real = parse_sections({})
    (found,) = missing_rows("table1", "T", records_of(("Brain-IT, 40 h (9 trials)", 1)), real)
    ridge, nearest = (
        f"{name} (baseline, our data{shared})"
        for name, shared in (("ridge", " and pretrained generator"), ("nearest training image", ""))
    )
    lacking = ("Brain-IT, 1 h", *(f"{b}, {d}" for d in ("40 h", "1 h") for b in (ridge, nearest)))
    assert found == NotRun("T", lacking, "snakemake --profile slurm tables")
    atlas = missing_rows("t2", "T", records_of(("functional, 40 h", 1)), real)
    assert [entry.rows for entry in atlas] == [
        ("3-D coordinates, 40 h",),
        ("Schaefer-400, 40 h",),
        ("Schaefer-1000, 40 h",),
    ]
    assert atlas[1].command.startswith("snakemake --profile slurm ablations; first add the")
    (demo,) = missing_rows("t2", "T", records_of(("functional, 40 h", 1)), SIMULATED)
    assert len(demo.rows) == 3 and demo.command == "make demo-full"
    clusters = missing_rows("t3", "T", records_of(("8 clusters, 40 h (5 trials)", 1)), real)
    assert "128 clusters, 40 h" in clusters[0].rows and len(clusters[0].rows) == 6


def test_one_seed_is_not_run_with_other_seeds() -> None:
    one, two = (records_of(("Brain-IT, 40 h (9 trials)", n)) for n in (1, 2))
    (found,) = missing_rows("seeds", "T", one, parse_sections({}))
    assert found.command == "snakemake --profile slurm everything, with seeds.values"
    assert missing_rows("seeds", "T", two, parse_sections({})) == ()


@pytest.mark.parametrize(("n_subjects", "n_missing"), [(8, 3), (4, 2), (2, 1)])
def test_models_of_all_subjects_are_not_missed_twice(n_subjects: int, n_missing: int) -> None:
    subjects = [f"subj0{number}" for number in range(1, n_subjects + 1)]
    chosen = {"subjects": subjects, "evaluated": subjects[:1], "transfer": subjects[:1]}
    whole = records_of(("models of all subjects, 40 h", 1))
    (found,) = missing_rows("subjects", "T", whole, parse_sections({"nsd": chosen}))
    assert len(found.rows) == n_missing and found.rows[0] == "first 1 subjects, 40 h"


def test_failures_are_the_worst_and_name_the_branch(tmp_path: Path) -> None:
    """Forty images: the worst fused ones fail in both branches, one, the other, or neither."""
    rng = np.random.default_rng(0)
    fused = rng.permutation(np.linspace(50, 99, 40))
    worst = np.argsort(fused)[:4]
    branches = {kind: rng.permutation(np.linspace(60, 98, 40)) for kind in ("lowlevel", "semantic")}
    branches["lowlevel"][worst] = [10, 10, 99, 99]
    branches["semantic"][worst] = [10, 99, 10, 99]
    paths = {}
    for kind, values in {"fused": fused, **branches}.items():
        scores = values.tolist()
        columns = {TWO_WAY: scores, "net.b.two_way": scores, "PixCorr": [0.2] * 40}
        paths[f"subj01/40h/{kind}"] = write_images(tmp_path / f"{kind}.csv", columns)
    cases = failure_cases(ImageScores(paths), "subj01")
    assert cases["nsd_id"].tolist() == (np.argsort(fused)[:N_WORST] + 70).tolist()
    assert cases["identification"].tolist() == pytest.approx(np.sort(fused)[:N_WORST])
    expected = ["low-level and semantic", "low-level", "semantic", "fusion"]
    assert cases["failed"].tolist()[:4] == expected
    lowlevel = branches["lowlevel"]
    below = [100 * sum(other < lowlevel[i] for other in lowlevel) / 39 for i in worst]
    assert cases["lowlevel_percentile"].tolist()[:4] == pytest.approx(below)


def test_failures_of_runs_and_none(tmp_path: Path) -> None:
    columns = {TWO_WAY: [90.0, 80.0, 70.0], "PixCorr": [0.1, 0.2, 0.3]}
    scores = {f"subj01/40h/{kind}": columns for kind in ("fused", "lowlevel", "semantic")}
    table = make_tables(["failures"], results_of(tmp_path, scores, {}), SIMULATED)[0]
    both = "low-level and semantic"
    assert table.blocks[0].rows[0] == ("72", "70.0", "0.300", "0 %", "0 %", both)
    assert table.records["simulation"].all() and "simulation" in table.title
    empty = make_tables(["failures"], results_of(tmp_path, {}, {}), SIMULATED)[0]
    assert empty.blocks == () and len(empty.records) == 0
