"""The report: one file with everything, the image browser's rules, costs, captions, citations."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.report_files import DISTANCE, NSD_ID, write_run

from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.evaluation.tables.rows import EVERY_TABLE, title_of
from brainit.report import browser, html
from brainit.report.browser import image_browser
from brainit.report.captions import CAPTIONS, run_label
from brainit.report.content import citations, missing_entries
from brainit.report.html import ReportInputs, make_report
from brainit.report.ranking import best_median_worst, ranked, ranking_metric
from brainit.report.timing import cost_rows, duration, read_costs

REAL = parse_sections({})
SIMULATED = parse_sections({"run": {"simulation": True}, "dip": {"iterations": 77}})


@pytest.fixture
def inputs(tmp_path: Path) -> ReportInputs:
    return write_run(tmp_path)


def test_report_is_one_file_with_everything(inputs: ReportInputs) -> None:
    report = make_report(inputs, SIMULATED)
    assert report.count("<h2>Table 1</h2>") == 1
    counts = re.search(r"(\d+) of (\d+) checks hold, (\d+) do not, (\d+) are undecided", report)
    assert counts is not None and counts.groups() == ("1", "3", "1", "1")
    assert "0.03 to 0.17" in report and 'class="undecided"' in report
    body = report[report.index("<main") :]
    assert body.index("<h2>Table 1</h2>") < body.index("<table"), "the first table"
    assert "why &lt;this&gt;" in report
    assert report.count("data:image/png;base64,iVBOR") == 2
    assert "Compare each column" in report and 'alt="Figure of_mine"' in report
    assert "31.25" in report and "1,400" in report and "77" in report
    assert '<p class="note"><strong>Simulation.</strong>' in report
    digest = json.loads((inputs.recons["subj01/40h"] / "provenance.json").read_text())["sha256"]
    assert digest["recons.h5"][:16] in report and "f" * 16 in report
    assert "2:10 min" in report and "700 MB" in report
    assert report == make_report(inputs, SIMULATED)


def test_runs_behind_the_tables_alone_are_named_without_their_images(inputs: ReportInputs) -> None:
    more = replace(inputs, other_runs={"subj01/40h_k8": inputs.recons["subj01/40h"]})
    plain, report = make_report(inputs, SIMULATED), make_report(more, SIMULATED)
    assert "subj01/40h_k8" not in plain and "subj01/40h_k8" in report
    assert "k8" in report.split("All settings")[0], "it stands under what was run"
    assert report.count('class="card"') == plain.count('class="card"') > 0


def test_report_shows_the_settings_that_it_was_told(inputs: ReportInputs) -> None:
    report = make_report(inputs, SIMULATED)
    shown = report.split("All settings</summary>")[1].split("</details>")[0]
    told = json.loads(unescape(shown.split(">", 1)[1].split("</pre>")[0]))
    assert told == {"run": {"simulation": True}, "dip": {"iterations": 77}}


def test_report_lists_all_that_was_not_run(inputs: ReportInputs) -> None:
    found = {
        entry.title: entry
        for entry in missing_entries([inputs.stimuli.parent / "table1"], [], REAL)
    }
    titles = [title_of(name) for name in EVERY_TABLE]
    assert list(found) == [*titles, *(f"Figure: {c.title}" for c in CAPTIONS.values())]
    own, *baselines = found[titles[0]].rows
    assert own == "Brain-IT, 1 h", "the 40 h row was run"
    assert len(baselines) == 4 and all("baseline" in row for row in baselines)
    assert all(found[title].rows == () for title in titles[1:])
    commands = {title: entry.command for title, entry in found.items()}
    assert commands["Table T2: clustering"] == "snakemake --profile slurm ablations"
    assert commands["Retrieval, subject by subject"] == "snakemake --profile slurm everything"
    assert commands["Figure: Training"] == "snakemake --profile slurm figures"
    assert commands["Figure: Semantic selectivity of clusters"].endswith("truth of a simulation")
    report = make_report(inputs, SIMULATED)
    section = report.split('<section id="not-run">')[1].split("</section>")[0]
    shown = missing_entries([inputs.stimuli.parent / "table1"], ["montage", "of_mine"], SIMULATED)
    assert section.count("<tr>") == 1 + len(shown) == len(found)
    assert "Seen and reconstructed" not in section
    assert section.count("<code>make demo-full</code>") == len(EVERY_TABLE) - 3
    assert "<td>Table 1: reconstruction on NSD</td>" in section and "Brain-IT, 1 h" in section


def test_every_figure_that_is_drawn_has_a_caption_and_the_other_way_round() -> None:
    folder = Path(html.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    assert set(re.findall(r'"(\w+)\.png"', sources)) == set(CAPTIONS)


def test_report_asks_the_network_for_nothing(inputs: ReportInputs) -> None:
    report = make_report(inputs, SIMULATED)
    assert "default-src 'none'" in report
    assert set(re.findall(r'src="([^:"]*):', report)) == {"data"}
    assert not re.findall(r"@import|url\(", report)


def test_figures_and_images_of_a_simulation_say_so(inputs: ReportInputs) -> None:
    simulated = make_report(inputs, SIMULATED)
    captions = re.findall(r"<figcaption>.*?</figcaption>", simulated, re.DOTALL)
    assert len(captions) == 2 and all("Simulation" in caption for caption in captions)
    real = make_report(replace(inputs, checks=None), parse_sections({}))
    assert "Simulation" not in real and "checks hold" not in real


def test_report_refuses_missing_figures(inputs: ReportInputs) -> None:
    for path in inputs.figures.iterdir():
        path.unlink()
    with pytest.raises(PipelineError) as error:
        make_report(inputs, SIMULATED)
    assert error.value.code == "missing-file" and "make_figures" in error.value.fix


def test_report_names_a_missing_table_and_a_damaged_provenance(inputs: ReportInputs) -> None:
    record = inputs.recons["subj01/40h"] / "provenance.json"
    table = inputs.tables[0]
    text = table.read_text()
    table.unlink()
    with pytest.raises(PipelineError) as error:
        make_report(inputs, SIMULATED)
    assert error.value.code == "missing-file" and error.value.where == str(table)
    assert "make_table" in error.value.fix
    table.write_text(text)
    record.write_text("{")
    with pytest.raises(PipelineError) as error:
        make_report(inputs, SIMULATED)
    assert error.value.where == str(record) and "gather_reconstructions" in error.value.fix


def test_browser_shows_every_scored_image(inputs: ReportInputs) -> None:
    found = image_browser(inputs.recons, inputs.metrics, inputs.stimuli)
    assert [card.nsd_id for card in found.cards] == NSD_ID.tolist() and found.every == 1
    assert found.choices[0] == ("subj01/40h/fused", "subj01, 40 h, fused")
    assert found.metrics == (("PixCorr", "higher"), ("net.final.distance", "lower"))
    assert found.first_metric == "net.final.distance"
    for card in found.cards:
        assert [p.label for p in card.pictures] == ["seen", "40 h, low-level", "40 h, fused"]
        assert all(p.url.startswith("data:image/webp;base64,") for p in card.pictures)
        assert all(str(card.nsd_id) in p.alt for p in card.pictures)
    scores = json.loads(found.scores)
    assert scores["subj01/40h/fused"]["nsd_id"] == NSD_ID.tolist()
    assert scores["subj01/40h/fused"]["net.final.distance"] == DISTANCE["fused"]
    assert scores["subj01/40h/lowlevel"]["PixCorr"] == [0.5, 0.1, None, 0.3]


def test_browser_thins_by_number_and_by_bytes(
    inputs: ReportInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = image_browser(inputs.recons, inputs.metrics, inputs.stimuli)
    monkeypatch.setattr(browser, "MOST_PICTURES", 6)
    fewer = image_browser(inputs.recons, inputs.metrics, inputs.stimuli)
    assert fewer.every == 2 and fewer.cards == whole.cards[::2]
    assert "one image in 2" in make_report(inputs, SIMULATED)
    monkeypatch.undo()
    n_bytes = sum(len(p.url) for card in whole.cards for p in card.pictures)
    monkeypatch.setattr(browser, "MOST_BYTES", n_bytes // 2 - 1)
    lighter = image_browser(inputs.recons, inputs.metrics, inputs.stimuli)
    assert lighter.every == 3 and lighter.cards == whole.cards[::3]


def test_ranking_by_plain_sorting() -> None:
    values = np.array([0.3, np.nan, 0.1, 0.9, 0.1, 0.5, 0.7])
    known = [k for k in range(7) if np.isfinite(values[k])]
    assert ranked("SwAV", values).tolist() == sorted(known, key=lambda k: values[k])
    assert ranked("PixCorr", values).tolist() == sorted(known, key=lambda k: -values[k])
    groups = best_median_worst(np.arange(9), 2)
    assert {name: rows.tolist() for name, rows in groups.items()} == {
        "best": [0, 1],
        "median": [3, 4],
        "worst": [7, 8],
    }
    few = best_median_worst(np.arange(4), 3)
    assert [rows.tolist() for rows in few.values()] == [[0], [1], [3]]
    assert ranking_metric(["PixCorr", "SwAV", "a.b.distance"]) == "SwAV"
    assert ranking_metric(["PixCorr", "a.b.distance", "a.c.distance", "c"]) == "a.c.distance"
    assert ranking_metric(["SSIM", "PixCorr"]) == "PixCorr"


def test_runs_are_called_by_their_amount_of_data() -> None:
    names = ["15min", "450trials", "40h", "1h_scratch", "40h_k8", "first2"]
    called = ["15 min", "450 trials", "40 h", "1 h from scratch", "40 h k8", "first2"]
    assert [run_label(name) for name in names] == called


def test_costs_of_steps(inputs: ReportInputs) -> None:
    joint, download = read_costs(inputs.benchmarks)
    assert (joint.step, joint.n_jobs, joint.total_s, joint.longest_s) == (
        "train_joint",
        2,
        130,
        100,
    )
    assert (joint.cpu_s, joint.peak_mb) == (95, 700)
    assert download.step == "download" and np.isnan(download.peak_mb)
    rows = cost_rows([joint, download])
    assert rows[1] == ["download", "1", "0.5 s", "0.5 s", "–", "–"]
    assert rows[2] == ["all steps", "3", "2:10 min", "1:40 min", "1:35 min", "700 MB"]
    assert read_costs(None) == [] and cost_rows([]) == []
    assert [duration(s) for s in (59.94, 60, 3599.6, 7260)] == [
        "59.9 s",
        "1:00 min",
        "1:00 h",
        "2:01 h",
    ]


def test_a_foreign_benchmark_file_is_refused(inputs: ReportInputs) -> None:
    assert inputs.benchmarks is not None
    (inputs.benchmarks / "download.tsv").write_text("other\n1\n")
    with pytest.raises(PipelineError) as error:
        make_report(inputs, SIMULATED)
    assert error.value.where.endswith("download.tsv") and "max_rss" in str(error.value)


def test_citations_are_those_of_the_citation_file(repository: Path) -> None:
    kept = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    for work, reference in zip(citations(), kept, strict=True):
        url = reference.get("url") or f"https://doi.org/{reference['doi']}"
        assert (work["title"], work["year"], work["url"]) == (
            reference["title"],
            reference["year"],
            url,
        )
        assert work["authors"].startswith(reference["authors"][0]["family-names"])
