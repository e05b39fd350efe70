"""Figures from made-up results: equal bytes, the word simulation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.small_models import small_bit

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import parse_sections
from brainit.core.shards import write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.pixels import PixelStore
from brainit.data.recons import Recons, read_recons, write_recons
from brainit.evaluation.checks.cluster_attention import cluster_attention
from brainit.evaluation.encoder import EncoderPredictions
from brainit.evaluation.metrics.names import SUMMARY_COLUMNS
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.evaluation.truth import VoxelTruth
from brainit.models.brain_transformer import BitDecoder
from brainit.report import style
from brainit.report.attention_figures import (
    content_selectivity,
    draw_attention,
    draw_attention_cortex,
    draw_query_attention,
    draw_selectivity,
    query_attention,
)
from brainit.report.cluster_colours import cluster_colours
from brainit.report.cluster_figures import draw_clusters_by_area, draw_embedding_map
from brainit.report.cortex import (
    draw_cluster_maps,
    draw_cortex,
    draw_noise_ceiling_maps,
    surface,
)
from brainit.report.data_scaling import draw_data_scaling
from brainit.report.figures import draw_encoder_accuracy
from brainit.report.image_grids import draw_first_images, draw_ranked_images, labelled_images
from brainit.report.learning_curves import draw_learning_curves
from brainit.simulation.scenes import CONTENTS, Scene, SceneObject


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
    nsd_id = np.arange(4, 7, dtype=np.int64)
    images = {kind: stimuli[nsd_id] for kind in ("lowlevel", "semantic", "fused")}
    paths = {}
    for subject in ("subj01", "subj02"):
        paths[f"{subject}/40h"] = folder / f"recon_{subject}"
        record = {"seed": 42, "threads": 1, "versions": {"torch": "2"}}
        write_recons(paths[f"{subject}/40h"], nsd_id, images, Image.new("RGB", (4, 4)), record)
    return paths, folder / "stimuli"


def made_up_scores(folder: Path) -> tuple[ImageScores, Summaries]:
    paths, images = {}, {}
    rng = np.random.default_rng(3)
    for number, run in enumerate(("1h_scratch", "1h", "40h")):
        rows = [
            ("PixCorr", 0.3 + 0.2 * number, 0.2 + 0.2 * number, 0.4 + 0.2 * number, 0.05),
            ("net.mid.two_way", 70.0 + 12 * number, 66.0 + 12 * number, 75.0 + 12 * number, 50.0),
        ]
        table = pd.DataFrame(rows, columns=["metric", "mean", "ci_low", "ci_high", "null_mean"])
        table = table.assign(n_images=100, direction="higher")
        table = table.assign(null_p999=60.0, null_sd=3.0)
        paths[f"subj01/{run}/fused"] = folder / f"{run}.csv"
        table[list(SUMMARY_COLUMNS)].to_csv(folder / f"{run}.csv", index=False)
        images[f"subj01/{run}/fused"] = folder / f"{run}_images.csv"
        columns = {name: mean + rng.normal(size=9) for name, mean, *_ in rows}
        table = pd.DataFrame({"nsd_id": np.arange(9), **columns})
        table.to_csv(images[f"subj01/{run}/fused"], index=False)
    return ImageScores(images), Summaries(paths)


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
    (images, summaries), histories = made_up_scores(folder), made_up_histories(folder)
    settings = parse_sections({"run": {"simulation": True}, "evaluation": {"n_bootstrap": 20}})
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
        "montage": lambda path: draw_first_images(recons, stimuli, path, True),
        "curves": lambda path: draw_learning_curves(histories, path, True),
        "scaling": lambda path: draw_data_scaling(images, summaries, path, settings),
        "encoder": lambda path: draw_encoder_accuracy(predictions, ceiling, path, True),
        "clusters": lambda path: draw_clusters_by_area(clusters, truths, path),
        "attention": lambda path: draw_attention(made_up_attention(), "subj01", path, True),
        **draw_maps(rng, folder, recons["subj01/40h"], stimuli),
    }


def draw_maps(
    rng: np.random.Generator, folder: Path, recons: Recons, stimuli: Path
) -> dict[str, Callable[[Path], None]]:
    """Return the functions that draw maps, and images by rank."""
    bit, fmri, _ = made_up_bit()
    queries, attention = query_attention(bit, fmri), made_up_attention()
    tables = {"subj01": small_voxels(rng)}
    cluster, embedding = rng.integers(0, 6, 30), rng.normal(size=(30, 5))
    subjects = (np.zeros(30, dtype=np.int64), ("subj01",))
    selectivity = rng.normal(size=(len(CONTENTS), 6))
    scores = pd.DataFrame({"nsd_id": recons.nsd_id, "PixCorr": rng.normal(size=3)})
    scores.to_csv(folder / "scores.csv", index=False)
    return {
        "ceilings": lambda path: draw_noise_ceiling_maps(tables, path, True),
        "cortex": lambda path: draw_cluster_maps(tables, cluster, embedding, path, True),
        "embedding": lambda path: draw_embedding_map(
            embedding, (cluster, "abcdef"), subjects, 42, path, True
        ),
        "queries": lambda path: draw_query_attention(
            queries, attention.right_share, "subj01", path, True
        ),
        "sides": lambda path: draw_attention_cortex(
            attention, queries.cluster, "subj01", tables["subj01"], path, True
        ),
        "selectivity": lambda path: draw_selectivity(selectivity, list("fedcba"), "subj01", path),
        "ranked": lambda path: draw_ranked_images(
            "subj01/40h", recons, folder / "scores.csv", stimuli, path, True
        ),
    }


def small_voxels(rng: np.random.Generator) -> Artifact:
    tensors = {
        "hemisphere": rng.integers(0, 2, 30),
        "vertex": np.sort(rng.choice(10242, 30, replace=False)),
        "noise_ceiling": rng.uniform(0, 80, 30).astype(np.float32),
    }
    return Artifact(tensors, {"space": "fsaverage5"})


def made_up_bit(n_queries: int = 16) -> tuple[BitDecoder, SubjectFmri, np.ndarray]:
    rng = np.random.default_rng(2)
    with seeded_init(0, "bit"):
        model = small_bit(
            torch.from_numpy(rng.integers(0, 6, size=50)),
            6,
            n_queries=n_queries,
            out_width=8,
            width=8,
        )
        torch.nn.init.normal_(model.voxel_embedding)
        torch.nn.init.normal_(model.query_tokens)
    subjects = {"subj02": slice(0, 20), "subj01": slice(20, 50)}
    betas = rng.normal(size=(3, 30)).astype(np.float16)
    ids = np.arange(3)
    fmri = SubjectFmri("subj01", betas, ids, np.ones(3, dtype=np.int64))
    hemisphere = rng.integers(0, 2, size=30)
    return BitDecoder(model.eval(), subjects, "semantic"), fmri, hemisphere


def made_up_attention():  # type: ignore[no-untyped-def]
    return cluster_attention(*made_up_bit())


def test_attention_maps_by_loops() -> None:
    bit, fmri, hemisphere = made_up_bit()
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


def test_attention_of_a_foreign_bit_is_refused() -> None:
    """A subject that the BIT did not train on, and queries that form no square."""
    bit, fmri, hemisphere = made_up_bit()
    with pytest.raises(PipelineError) as error:
        cluster_attention(bit, replace(fmri, subject="subj05"), hemisphere)
    assert error.value.code == "inconsistent-inputs" and error.value.expected == "subj05"
    with pytest.raises(PipelineError) as error:
        cluster_attention(*made_up_bit(n_queries=7))
    assert error.value.code == "wrong-kind" and "7" in error.value.found


def test_side_of_a_map_is_left_or_right_of_the_mean() -> None:
    found = made_up_attention()
    maps = np.full_like(found.maps, 1 / 16)
    maps[0], maps[1] = 0.0, 0.0
    maps[0, :, 0], maps[1, :, 3] = 0.25, 0.25
    side = type(found)(maps.reshape(len(maps), -1).T, found.right_share).side
    assert side[0] == pytest.approx(-1.0) and side[1] == pytest.approx(1.0)
    np.testing.assert_allclose(side[2:], 0.0, atol=1e-12)


def test_figures_repeat_to_the_byte_and_say_simulation(
    tmp_path: Path, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 40)  # small pictures are soon drawn
    for name, draw in draw_all(tmp_path).items():
        first, second = tmp_path / f"{name}_1.png", tmp_path / f"{name}_2.png"
        draw(first)
        draw(second)
        assert first.read_bytes() == second.read_bytes(), name
        with Image.open(first) as image:
            assert image.convert("L").getextrema()[0] < 100, f"{name} is empty"
    assert len(titles) == 26
    assert all(title.endswith("(simulation)") for title in titles)


def scene(*objects: tuple[str, float, float, float]) -> Scene:
    """Return a scene of objects (content, x, y, size)."""
    detail = (0.0,) * 4
    placed = tuple(SceneObject(c, x, y, size, 0.0, 0.0, detail) for c, x, y, size in objects)
    return Scene(placed, 0.0, 0.5, 1.0, 0.5, 0.5, 0.0, 4.0, 0.1, 0)


def test_selectivity_by_loops() -> None:
    rng = np.random.default_rng(3)
    weights = rng.uniform(size=(3, 16, 5))
    scenes = {
        7: scene(("face", 0.25, 0.25, 0.5), ("word", 0.8, 0.8, 0.4)),
        8: scene(("face", 0.6, 0.4, 0.3)),
        9: scene(("saw", 0.5, 0.5, 0.9)),
    }
    found = content_selectivity(weights, np.array([8, 9, 7]), scenes)
    inside: dict[str, list[np.ndarray]] = {}
    for image, nsd_id in enumerate((8, 9, 7)):
        for row in range(4):
            for column in range(4):
                kinds = {
                    item.content
                    for item in scenes[nsd_id].objects
                    if abs((column + 0.5) / 4 - item.x) < item.size / 2
                    and abs((row + 0.5) / 4 - item.y) < item.size / 2
                }
                for kind in [*kinds, *(["any"] if kinds else [])]:
                    inside.setdefault(kind, []).append(weights[image, 4 * row + column])
    for number, kind in enumerate(CONTENTS):
        if kind in inside:
            expected = np.mean(inside[kind], axis=0) / np.mean(inside["any"], axis=0) - 1
            np.testing.assert_allclose(found[number], expected, rtol=1e-12)
        else:
            assert np.isnan(found[number]).all(), kind
    assert set(inside) == {"face", "word", "saw", "any"}


def test_query_attention_is_the_model_s_mean_over_blocks_and_heads() -> None:
    bit, fmri, _ = made_up_bit()
    found = query_attention(bit, fmri)
    np.testing.assert_allclose(found.weights.sum(axis=2), 1.0, rtol=1e-5)
    tokens = bit.model.tokenize(torch.from_numpy(fmri.betas.astype(np.float32)), slice(20, 50))
    weights = bit.model.cross_attention(tokens).detach().double().numpy()
    for image in range(3):
        np.testing.assert_allclose(found.weights[image], weights[:, image].mean((0, 1)), rtol=1e-5)
    assert found.cluster.tolist() == bit.model.voxel_cluster[20:50].tolist()
    assert found.nsd_id.tolist() == [0, 1, 2]


def test_cortex_shows_voxels_on_their_own_side_in_their_colour() -> None:
    seen = [surface(side) for side in (0, 1)]
    assert seen[0].corners[..., 0].max() < 0 < seen[1].corners[..., 0].min()
    vertex = np.array([seen[0].faces[-1, 0], seen[1].faces[-1, 0]])
    figure, (ax,) = style.new_figure(1, 1, 2.0, 2.0)
    red_blue = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    draw_cortex(ax, np.array([0, 1]), vertex, red_blue)
    for side, collection in enumerate(ax.collections):
        colours = collection.get_facecolors()[:, :3]
        is_coloured = (colours == red_blue[side]).all(axis=1)
        holds_vertex = (seen[side].faces == vertex[side]).any(axis=1)
        np.testing.assert_array_equal(is_coloured, holds_vertex)
    style.plt.close(figure)


def test_like_clusters_have_like_colours() -> None:
    angle = np.repeat(2 * np.pi * np.arange(12) / 12, 5)
    embedding = np.stack([np.cos(angle), np.sin(angle), np.zeros(60)], axis=1)
    colours = cluster_colours(np.repeat(np.arange(12), 5), embedding)
    hues = style.matplotlib.colors.rgb_to_hsv(colours)[:, 0]
    step = np.diff(np.append(hues, hues[0])) % 1
    assert len(set(hues.round(6))) == 12
    assert np.allclose(step, 1 / 12, atol=1e-6) or np.allclose(step, 11 / 12, atol=1e-6)


def test_a_baseline_has_one_row_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, titles: list[str]
) -> None:
    paths, stimuli = made_up_recons(tmp_path)
    ours = read_recons(paths["subj01/40h"])
    alone = replace(ours, images={"fused": ours.images["fused"]})
    recons = {"subj01/40h": ours, "subj01/40h_ridge": ours, "subj01/40h_knn": alone}
    shown: list[str] = []
    monkeypatch.setattr(style.Axes, "text", lambda self, x, y, label, **more: shown.append(label))
    draw_first_images(recons, stimuli, tmp_path / "montage.png", True)
    rows = ("low-level", "semantic", "fused", "ridge", "knn")
    assert shown == ["seen", *(f"subj01\n{row}" for row in rows)]
    assert "ridge" not in titles[-1]


def test_subjects_without_a_shared_image_show_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, titles: list[str]
) -> None:
    paths, stimuli = made_up_recons(tmp_path)
    first = read_recons(paths["subj01/40h"])
    second = replace(first, nsd_id=np.arange(10, 13, dtype=np.int64))
    recons = {"anna/40h": first, "ben/40h": second, "anna/40h_ridge": first}
    shown: list[str] = []
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(style.Axes, "text", lambda self, x, y, label, **more: shown.append(label))
    monkeypatch.setattr(style.Axes, "imshow", lambda self, image, **more: drawn.append(image))
    draw_first_images(recons, stimuli, tmp_path / "montage.png", True)
    kinds = ("seen", "low-level", "semantic", "fused")
    rows = [*(f"anna\n{kind}" for kind in (*kinds, "ridge")), *(f"ben\n{kind}" for kind in kinds)]
    assert shown == rows and len(drawn) == 3 * len(rows) and "shared" not in titles[-1]
    seen = PixelStore(stimuli).pixels(np.array([4, 5, 6, 10, 11, 12]))
    np.testing.assert_array_equal([*drawn[:3], *drawn[15:18]], seen)


def test_the_refined_row_comes_last_and_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, titles: list[str]
) -> None:
    paths, stimuli = made_up_recons(tmp_path)
    plain = {name: read_recons(path) for name, path in paths.items()}
    before = np.full_like(plain["subj01/40h"].images["fused"], 7)
    refined = {name: replace(found, unrefined=before) for name, found in plain.items()}
    labels = labelled_images(refined["subj01/40h"])
    assert list(labels) == ["low-level", "semantic", "fused", "refined"]
    assert labels["fused"] is before
    assert np.array_equal(labels["refined"], plain["subj01/40h"].images["fused"])
    shown: list[str] = []
    monkeypatch.setattr(style.Axes, "text", lambda self, x, y, label, **more: shown.append(label))
    for recons, rows in ((plain, ["low-level", "semantic", "fused"]), (refined, list(labels))):
        shown.clear()
        draw_first_images(recons, stimuli, tmp_path / "montage.png", True)
        assert shown == ["seen", *(f"{s}\n{row}" for s in ("subj01", "subj02") for row in rows)]
        shown.clear()
        first = recons["subj01/40h"]
        scores = pd.DataFrame({"nsd_id": first.nsd_id, "PixCorr": range(len(first.nsd_id))})
        scores.to_csv(tmp_path / "s.csv", index=False)
        draw_ranked_images(
            "subj01/40h", first, tmp_path / "s.csv", stimuli, tmp_path / "ranked.png", True
        )
        assert shown == ["seen", *rows] and f"of the {rows[-1]} images" in titles[-1]


def test_data_scaling_shows_the_subjects_with_most_runs_alone(
    tmp_path: Path, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """subj02 lacks 1 h: its 40 h scores would not be comparable, and are left out of the bars."""
    scores = {"subj01/1h": 0.2, "subj01/40h": 0.4, "subj02/40h": 0.9, "subj01/40h_k8": 0.7}
    paths, summaries = {}, {}
    for number, (name, mean) in enumerate(scores.items()):
        paths[f"{name}/fused"] = tmp_path / f"{number}.csv"
        table = pd.DataFrame({"nsd_id": [1, 2], "PixCorr": [mean - 0.1, mean + 0.1]})
        table.to_csv(paths[f"{name}/fused"], index=False)
        summaries[f"{name}/fused"] = tmp_path / f"{number}_summary.csv"
        row = ("PixCorr", mean, mean, mean, 2, "higher", 0.05, np.nan, np.nan)
        table = pd.DataFrame([row], columns=list(SUMMARY_COLUMNS))
        table.to_csv(summaries[f"{name}/fused"], index=False)
    heights: list[float] = []
    original = style.Axes.bar

    def keep(self: style.Axes, place: float, height: float, **options: object) -> object:
        heights.append(height)
        return original(self, place, height, **options)

    monkeypatch.setattr(style.Axes, "bar", keep)
    settings = parse_sections({"evaluation": {"n_bootstrap": 20}})
    images = ImageScores(paths)
    draw_data_scaling(images, Summaries(summaries), tmp_path / "scaling.png", settings)
    assert heights == pytest.approx([0.2, 0.4])
    assert "subj01" in titles[0] and "subj02" not in titles[0]


def test_scores_of_other_images_are_refused(tmp_path: Path) -> None:
    paths, stimuli = made_up_recons(tmp_path)
    pd.DataFrame({"nsd_id": [1], "PixCorr": [0.5]}).to_csv(tmp_path / "s.csv", index=False)
    recons = read_recons(paths["subj01/40h"])
    with pytest.raises(PipelineError) as error:
        draw_ranked_images("subj01/40h", recons, tmp_path / "s.csv", stimuli, tmp_path / "p", True)
    assert error.value.code == "inconsistent-inputs" and error.value.where.endswith("s.csv")
    assert "3 images of subj01/40h" in error.value.expected and "1 images" in error.value.found
