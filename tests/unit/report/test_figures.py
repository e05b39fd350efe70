"""Figures and report from made-up results: equal bytes, the word simulation, one file."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import parse_sections
from brainit.core.shards import write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.recons import read_recons, write_recons
from brainit.evaluation.check import as_table, at_least
from brainit.evaluation.cluster_attention import cluster_attention
from brainit.evaluation.encoder_accuracy import EncoderPredictions
from brainit.evaluation.score import SUMMARY_COLUMNS
from brainit.evaluation.summaries import Summaries
from brainit.evaluation.truth import VoxelTruth
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.brain_transformer_file import LoadedBit
from brainit.report import style
from brainit.report.attention_figure import draw_attention
from brainit.report.cluster_figure import draw_clusters_by_area
from brainit.report.data_scaling import draw_data_scaling
from brainit.report.encoder_figure import draw_encoder_accuracy
from brainit.report.html import make_report
from brainit.report.learning_curves import draw_learning_curves
from brainit.report.montage import draw_montage


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the titles of the figures that are drawn."""
    found: list[str] = []
    original = style.Figure.suptitle

    def keep(self: style.Figure, text: str, **options: object) -> object:
        found.append(text)
        return original(self, text, **options)

    monkeypatch.setattr(style.Figure, "suptitle", keep)
    return found


def made_up_recons(folder: Path) -> tuple[dict[str, Path], Path]:
    rng = np.random.default_rng(0)
    stimuli = rng.integers(0, 256, size=(20, 8, 8, 3)).astype(np.uint8)
    write_shards(folder / "stimuli", iter([stimuli]))
    nsd_id = np.arange(4, 16, dtype=np.int64)
    images = {kind: stimuli[nsd_id] for kind in ("lowlevel", "semantic", "fused")}
    paths = {}
    for subject in ("subj01", "subj02"):
        paths[f"{subject}/40h"] = folder / f"recon_{subject}"
        record = {"seed": 42, "threads": 1, "versions": {"torch": "2"}}
        write_recons(paths[f"{subject}/40h"], nsd_id, images, Image.new("RGB", (4, 4)), record)
    return paths, folder / "stimuli"


def made_up_summaries(folder: Path) -> Summaries:
    paths = {}
    for number, run in enumerate(("1h_scratch", "1h", "40h")):
        rows = [
            ("PixCorr", 0.3 + 0.2 * number, 0.2 + 0.2 * number, 0.4 + 0.2 * number, 0.05),
            ("net.mid.two_way", 70.0 + 12 * number, 66.0 + 12 * number, 75.0 + 12 * number, 50.0),
        ]
        table = pd.DataFrame(rows, columns=["metric", "mean", "ci_low", "ci_high", "null_mean"])
        table = table.assign(n_images=100, direction="higher")
        table = table.assign(null_p999=60.0, null_p005=45.0, null_p995=55.0)
        paths[f"subj01/{run}/fused"] = folder / f"{run}.csv"
        table[list(SUMMARY_COLUMNS)].to_csv(folder / f"{run}.csv", index=False)
    return Summaries(paths)


def made_up_histories(folder: Path) -> dict[str, Path]:
    epochs = np.arange(1, 11)
    encoder = {"epoch": epochs, "train_loss": 1 / epochs, "val_median_r": 1 - 1 / epochs}
    bit = {"epoch": epochs, "train_loss": 1 / epochs, "val_loss": 0.2 + 1 / epochs}
    adapted = {"epoch": epochs, "train_loss": 1 / epochs, "val_median_r": np.nan}
    paths = {}
    for name, columns in (
        ("all/encoder", encoder),
        ("subj01_1h/encoder", adapted),
        ("all/bit_semantic", bit),
    ):
        paths[name] = folder / f"{name.replace('/', '_')}.csv"
        pd.DataFrame(columns).to_csv(paths[name], index=False)
    return paths


def draw_all(folder: Path) -> dict[str, Callable[[Path], None]]:
    """Return a function per figure that draws it into a file."""
    recon_paths, stimuli = made_up_recons(folder)
    recons = {name: read_recons(path) for name, path in recon_paths.items()}
    summaries, histories = made_up_summaries(folder), made_up_histories(folder)
    rng = np.random.default_rng(1)
    measured = torch.from_numpy(rng.normal(size=(50, 300)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(size=(50, 300)).astype(np.float32))
    predictions = [EncoderPredictions("subj01", measured + noise, measured)]
    ceiling = {"subj01": rng.uniform(0, 80, 300).astype(np.float32)}
    area = rng.integers(0, 4, size=600)
    truths = [
        VoxelTruth(s, ("V1", "V2", "face", "tool"), a, np.zeros((300, 3)), np.full(300, 40.0))
        for s, a in (("subj01", area[:300]), ("subj02", area[300:]))
    ]
    clusters = 3 * area + rng.integers(0, 3, size=600)
    return {
        "montage": lambda path: draw_montage(recons, stimuli, path, True),
        "curves": lambda path: draw_learning_curves(histories, path, True),
        "scaling": lambda path: draw_data_scaling(summaries, path, True),
        "encoder": lambda path: draw_encoder_accuracy(predictions, ceiling, path, True),
        "clusters": lambda path: draw_clusters_by_area(clusters, truths, path),
        "attention": lambda path: draw_attention(made_up_attention(), "subj01", path, True),
    }


def small_bit() -> tuple[LoadedBit, SubjectFmri, np.ndarray]:
    rng = np.random.default_rng(2)
    with seeded_init(0, "bit"):
        model = BrainInteractionTransformer(
            voxel_cluster=torch.from_numpy(rng.integers(0, 6, size=50)),
            n_clusters=6,
            n_queries=16,
            out_width=8,
            width=8,
            n_heads=2,
            n_blocks=1,
        )
        torch.nn.init.normal_(model.voxel_embedding)
        torch.nn.init.normal_(model.query_tokens)
    subjects = {"subj02": slice(0, 20), "subj01": slice(20, 50)}
    betas = rng.normal(size=(3, 30)).astype(np.float16)
    ids = np.arange(3)
    fmri = SubjectFmri("subj01", betas, ids, np.ones(3, dtype=np.int64))
    hemisphere = rng.integers(0, 2, size=30)
    return LoadedBit(model.eval(), subjects, "semantic", {}), fmri, hemisphere


def made_up_attention():  # type: ignore[no-untyped-def]
    return cluster_attention(*small_bit())


def test_attention_maps_by_loops() -> None:
    bit, fmri, hemisphere = small_bit()
    found = cluster_attention(bit, fmri, hemisphere)
    betas = torch.from_numpy(fmri.betas.astype(np.float32))
    tokens = bit.model.tokenize(betas, bit.subjects["subj01"])
    weights = bit.model.cross_attention(tokens).detach().double().numpy()
    cluster = bit.model.voxel_cluster[20:50].numpy()
    for c in range(6):
        read = weights[..., c].mean(axis=(0, 1, 2))
        np.testing.assert_allclose(found.maps[c], (read / read.sum()).reshape(4, 4), rtol=1e-5)
        if (cluster == c).any():
            assert found.right_share[c] == pytest.approx(hemisphere[cluster == c].mean())
        else:
            assert np.isnan(found.right_share[c])


def test_side_of_a_map_is_left_or_right_of_the_mean() -> None:
    found = made_up_attention()
    maps = np.full_like(found.maps, 1 / 16)
    maps[0], maps[1] = 0.0, 0.0
    maps[0, :, 0], maps[1, :, 3] = 0.25, 0.25
    side = type(found)(maps, found.right_share).side
    assert side[0] == pytest.approx(-1.0) and side[1] == pytest.approx(1.0)
    np.testing.assert_allclose(side[2:], 0.0, atol=1e-12)


def test_figures_repeat_to_the_byte_and_say_simulation(tmp_path: Path, titles: list[str]) -> None:
    for name, draw in draw_all(tmp_path).items():
        first, second = tmp_path / f"{name}_1.png", tmp_path / f"{name}_2.png"
        draw(first)
        draw(second)
        assert first.read_bytes() == second.read_bytes(), name
        with Image.open(first) as image:
            assert image.convert("L").getextrema()[0] < 100, f"{name} is empty"
    assert len(titles) == 12
    assert all(title.endswith("(simulation)") for title in titles)


def test_report_is_one_file_with_everything(tmp_path: Path) -> None:
    recons, _ = made_up_recons(tmp_path)
    figures, tables = tmp_path / "figures", tmp_path / "tables" / "table1"
    figures.mkdir()
    tables.mkdir(parents=True)
    Image.new("RGB", (3, 3)).save(figures / "montage.png")
    (tables / "table1.html").write_text("<section><h2>Table 1</h2></section>\n")
    (tables / "table1.md").write_text("")
    checks = [at_least("good", 1.0, 0.0, 0.5, "why <this>"), at_least("bad", 0.1, 0.0, 0.5, "")]
    as_table(checks).to_csv(tmp_path / "checks.csv", index=False)
    pd.DataFrame({"subject": ["subj01"], "median_pct": [31.25]}).to_csv(
        tmp_path / "ceiling.csv", index=False
    )
    inputs = (
        [tables / "table1.html", tables / "table1.md"],
        figures,
        recons,
        {"subj01": tmp_path / "ceiling.csv"},
    )
    settings = parse_sections({"run": {"simulation": True}})
    report = make_report(*inputs, tmp_path / "checks.csv", settings)
    assert report.count("<h2>Table 1</h2>") == 1
    assert "1 of 2 checks hold" in report
    assert report.count("Not run.") == 7 and "Table T3: number of clusters" in report
    assert "<code>make demo-full</code>" in report
    assert "why &lt;this&gt;" in report
    assert "data:image/png;base64,iVBOR" in report
    assert "31.25" in report and "subj02/40h" in report
    assert "may be compared" in report.replace("\n", " ")
    assert "http" not in report.replace("https://natural", "")
    digest = json.loads((recons["subj01/40h"] / "provenance.json").read_text())["sha256"]
    assert digest["recons.h5"][:16] in report
    assert report == make_report(*inputs, tmp_path / "checks.csv", settings)
    real = make_report(*inputs, None, parse_sections({}))
    assert "Simulation" not in real and "checks hold" not in real


def test_report_refuses_missing_figures(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "t.html").write_text("")
    (tmp_path / "figures").mkdir()
    with pytest.raises(PipelineError, match="run make_figures"):
        make_report([tmp_path / "t"], tmp_path / "figures", {}, {}, None, parse_sections({}))
