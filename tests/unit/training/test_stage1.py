"""Stage 1 on tiny data: its losses in plain loops, a batch learned, the calibration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.tiny_examples import bit, fmri
from torch.nn import functional as F

from brainit.core.errors import PipelineError
from brainit.core.seeds import torch_generator
from brainit.core.settings import FeatureSettings, LowlevelSettings, SemanticSettings, Settings
from brainit.core.shards import ShardedArray, write_shards
from brainit.features.registry import load_backbone
from brainit.features.vgg import maps_to_tokens
from brainit.models.brain_mlp import BrainMlp
from brainit.training.calibration import CalibrationTask, fit_calibration
from brainit.training.examples import BatchImages, DrawnExamples, ExampleSource
from brainit.training.inputs import TokenFiles
from brainit.training.loader import Slot
from brainit.training.loop import LoopPlan, fit
from brainit.training.resume import EpochPosition
from brainit.training.stage1 import Stage1Batch, Stage1Data, Stage1Task
from brainit.training.targets import LowlevelTargets, SemanticTargets, highest, targets_of

CPU = torch.device("cpu")


def draw_positions(
    n_images: int, tokens: tuple[int, ...], queries: tuple[int, ...], generator: torch.Generator
) -> list[torch.Tensor]:
    """Draw positions as a batch's draws and their reading do, in one call."""
    scores = [torch.rand(n_images, n, generator=generator) for n in tokens]
    return highest(scores, queries)


def test_positions_are_distinct_within_an_image() -> None:
    drawn = draw_positions(3, (6, 4), (4, 9), torch.Generator().manual_seed(0))
    assert [tuple(d.shape) for d in drawn] == [(3, 4), (3, 4)]
    for layer, n_tokens in zip(drawn, (6, 4), strict=True):
        for row in layer.tolist():
            assert len(set(row)) == len(row)
            assert max(row) < n_tokens


def batch_of(task: Stage1Task, drawn: DrawnExamples) -> Stage1Batch:
    """Return the batch of these examples, and of positions that the stream "x" draws."""
    return task.read(task.train, task.drawn(drawn, torch_generator(0, "x")), Slot())


def lowlevel_task(source: ExampleSource, images: BatchImages) -> Stage1Task:
    targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    model = bit(targets.layout.n_tokens, targets.layout.width)
    settings = LowlevelSettings(batch=4, voxels_per_example=6, queries_per_layer=(3, 3, 2, 2, 1))
    return Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))


def test_lowlevel_loss_is_infonce_per_layer_in_plain_loops(
    source: ExampleSource, images: BatchImages
) -> None:
    task = lowlevel_task(source, images)
    drawn = next(source.draws(4, torch.Generator().manual_seed(2), None))
    batch = source.read(drawn, Slot())
    found = task.loss(batch_of(task, drawn))
    layout = task.targets.layout
    positions = draw_positions(
        4, layout.tokens_per_layer, task.settings.queries_per_layer, torch_generator(0, "x")
    )
    everything = task.model.decode(task.model.tokenize_mixed(batch.groups_on(CPU)))
    tables = task.targets.of(batch, torch.device("cpu"))
    total = torch.zeros(())
    for layer, place in enumerate(layout.layer_slices):
        pairs = [
            (everything[i, place.start + int(p)], tables[layer][i, int(p)])
            for i in range(4)
            for p in positions[layer][i]
        ]
        predicted = torch.stack([a for a, _ in pairs])
        target = torch.stack([b for _, b in pairs])
        logits = predicted @ target.T
        own = torch.arange(len(pairs))
        total += (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert found.item() == pytest.approx(total.item() / 5, rel=1e-4)


def test_lowlevel_loss_may_be_the_mean_square_instead(
    source: ExampleSource, images: BatchImages
) -> None:
    task = lowlevel_task(source, images)
    task.settings = task.settings.model_copy(update={"loss": "mse"})
    drawn = next(source.draws(4, torch.Generator().manual_seed(2), None))
    batch = source.read(drawn, Slot())
    found = task.loss(batch_of(task, drawn)).item()
    layout = task.targets.layout
    counts = (layout.tokens_per_layer, task.settings.queries_per_layer)
    positions = draw_positions(4, *counts, torch_generator(0, "x"))
    everything = task.model.decode(task.model.tokenize_mixed(batch.groups_on(CPU)))
    tables = task.targets.of(batch, torch.device("cpu"))
    means = []
    for layer, place in enumerate(layout.layer_slices):
        squares = [
            (everything[i, place.start + int(p)] - tables[layer][i, int(p)]).square().mean().item()
            for i in range(4)
            for p in positions[layer][i]
        ]
        means.append(sum(squares) / len(squares))
    assert found == pytest.approx(sum(means) / 5, rel=1e-4)


def test_semantic_loss_is_the_mean_square_to_the_tokens(
    source: ExampleSource, images: BatchImages
) -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    targets = SemanticTargets(images, network, {})
    model = bit(64, 96)
    settings = SemanticSettings(batch=4, voxels_per_example=6)
    task = Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))
    drawn = next(source.draws(6, torch.Generator().manual_seed(2), None))
    batch = source.read(drawn, Slot())
    predicted = model.decode(model.tokenize_mixed(batch.groups_on(CPU)))
    total = 0.0
    for row in range(len(batch)):
        store = images.external if batch.is_external[row] else images.stimuli
        assert store is not None
        with torch.no_grad():
            tokens = network(store.images(batch.image[row : row + 1]))[0]
        total += float((predicted[row] - tokens).detach().square().mean())
    found = task.loss(batch_of(task, drawn)).item()
    assert found == pytest.approx(total / len(batch), rel=1e-4)


def test_semantic_loss_may_be_that_of_drawn_tokens(
    source: ExampleSource, images: BatchImages
) -> None:
    targets = SemanticTargets(images, load_backbone("semantic_tokens", "demo_openclip"), {})
    model = bit(64, 96)
    settings = SemanticSettings(batch=4, voxels_per_example=6, queries_per_example=5)
    task = Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))
    drawn = next(source.draws(6, torch.Generator().manual_seed(2), None))
    batch = source.read(drawn, Slot())
    everything = model.decode(model.tokenize_mixed(batch.groups_on(CPU)))
    true = targets.of(batch, torch.device("cpu"))
    positions = draw_positions(len(batch), (64,), (5,), torch_generator(0, "x"))[0]
    squares = [
        (everything[row, int(p)] - true[row, int(p)]).square().mean()
        for row in range(len(batch))
        for p in positions[row]
    ]
    model.train()
    found = task.loss(batch_of(task, drawn))
    assert found.item() == pytest.approx(torch.stack(squares).mean().item(), rel=1e-4)
    model.eval()
    assert batch_of(task, drawn).positions is None


def test_cached_tokens_give_the_same_targets(
    source: ExampleSource, images: BatchImages, tmp_path: Path
) -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    cached = {}
    for kind, store in ((False, images.stimuli), (True, images.external)):
        assert store is not None
        with torch.no_grad():
            tokens = network(store.images(np.arange(len(store)))).numpy().astype(np.float16)
        write_shards(tmp_path / f"tokens_{kind}", iter([tokens]))
        cached[kind] = ShardedArray(tmp_path / f"tokens_{kind}")
    batch = next(source.epoch(16, torch.Generator().manual_seed(0), None))
    targets = SemanticTargets(images, None, cached)
    assert targets.token_shape == (network.n_tokens, network.width)
    one = targets.of(batch, torch.device("cpu"))
    two = SemanticTargets(images, network, {}).of(batch, torch.device("cpu"))
    torch.testing.assert_close(one, two, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("is_cached", "needs_external", "is_loaded"),
    [((True, True), True, False), ((True, False), True, True), ((True, False), False, False)],
)
def test_the_token_network_is_loaded_only_where_tokens_are_missing(
    is_cached: tuple[bool, bool],
    needs_external: bool,
    is_loaded: bool,
    images: BatchImages,
    tmp_path: Path,
) -> None:
    folders = []
    for name, is_there in zip(("tokens", "external_tokens"), is_cached, strict=True):
        write_shards(tmp_path / name, iter([np.zeros((9, 4, 8), np.float16)]))
        folders.append(tmp_path / name if is_there else None)
    shown = images if needs_external else BatchImages(images.stimuli, None)
    settings = Settings(features=FeatureSettings(semantic_tokens="demo_openclip"))
    targets = targets_of("semantic", shown, TokenFiles(*folders), None, settings, CPU)
    assert isinstance(targets, SemanticTargets) and (targets.network is not None) is is_loaded
    assert is_loaded or targets.token_shape == (4, 8)


def first_loss(task: Stage1Task) -> float:
    return task.loss(next(task.batches(EpochPosition(task.draws(0))))).item()


@pytest.mark.parametrize("decoder", ["bit", "mlp"])
def test_a_tiny_batch_is_learned(decoder: str, source: ExampleSource, images: BatchImages) -> None:
    task = lowlevel_task(source, images)
    if decoder == "mlp":
        layout = task.targets.layout
        sizes = {"n_queries": layout.n_tokens, "out_width": layout.width}
        task.model = BrainMlp(n_voxels=21, hidden=8, **sizes)
    few = ExampleSource({"subj01": fmri("subj01", 4, 0)}, {}, source.voxels)
    task.train = few
    losses = [first_loss(task)]
    fit(list(task.model.parameters()), task, LoopPlan(40, 2e-2), "test")
    losses.append(first_loss(task))
    assert losses[1] < 0.6 * losses[0]


@pytest.mark.parametrize("kind", ["lowlevel", "semantic"])
def test_calibration_needs_validation_examples(
    kind: str, source: ExampleSource, images: BatchImages
) -> None:
    targets: SemanticTargets | LowlevelTargets
    if kind == "lowlevel":
        targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    else:
        targets = SemanticTargets(images, load_backbone("semantic_tokens", "demo_openclip"), {})
    model = bit(*targets.token_shape)
    task = CalibrationTask(model, targets, None, 4, 0, CPU)
    with pytest.raises(PipelineError) as error:
        fit_calibration(task)
    assert error.value.code == "missing-data" and f"{kind}.calibration" in error.value.where
    found = fit_calibration(replace(task, validation=source))
    predicted, true = [], []
    model.eval()
    with torch.no_grad():
        for batch in source.epoch(4, torch_generator(0, "stage1", "calibration"), None):
            predicted.append(model.decode(model.tokenize_mixed(batch.groups_on(CPU))))
            tables = targets.of(batch, CPU)
            true.append(tables if isinstance(tables, torch.Tensor) else torch.cat(tables, dim=1))
    x, y = torch.cat(predicted), torch.cat(true)
    if kind == "lowlevel":
        left = (found.apply(x) - y).square().mean()
        assert left < (y - y.mean((0, 1))).square().mean() < (x - y).square().mean()
    else:
        torch.testing.assert_close(found.apply(x).std(0), y.std(0), rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(found.apply(x).mean(0), y.mean(0), rtol=1e-3, atol=1e-3)


def test_examples_of_a_closed_form_decoder_are_those_of_training(
    source: ExampleSource, images: BatchImages
) -> None:
    """Each example once, all voxels, and the true tokens of its own image."""
    vgg = load_backbone("vgg", "demo_vgg_bn")
    targets = LowlevelTargets(images, vgg)
    data = Stage1Data("lowlevel", source, source, targets, Settings(), torch.device("cpu"))
    found = list(data.examples())
    n_seen = {name: sum(len(b) for s, b, _ in found if s == name) for name in source.real}
    assert sum(n_seen.values()) == source.n_real + source.n_external
    for name, own in source.real.items():
        betas = torch.cat([b for s, b, _ in found if s == name])
        tokens = torch.cat([t for s, _, t in found if s == name])
        assert betas.shape == (n_seen[name], own.betas.shape[1])
        for row, nsd_id in zip(own.betas.astype(np.float32), own.nsd_id, strict=True):
            place = (betas == torch.from_numpy(row)).all(1).nonzero().item()
            with torch.no_grad():
                maps = vgg(images.stimuli.images(np.array([nsd_id])))
            wanted = torch.cat(maps_to_tokens(maps), dim=1)[0]
            torch.testing.assert_close(tokens[place], wanted, rtol=1e-4, atol=1e-4)


def test_vgg_targets_are_float32_within_half_precision(
    source: ExampleSource, images: BatchImages
) -> None:
    targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    batch = next(source.epoch(3, torch.Generator().manual_seed(2), None))
    positions = [torch.zeros(3, 1, dtype=torch.long) for _ in range(5)]
    wanted = [*targets.of(batch, torch.device("cpu")), *targets.at(batch, positions)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [*targets.of(batch, torch.device("cpu")), *targets.at(batch, positions)]
    for first, second in zip(found, wanted, strict=True):
        assert first.dtype == torch.float32 and torch.equal(first, second)
