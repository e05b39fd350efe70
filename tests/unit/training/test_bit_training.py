"""Examples, stage 1, stage 2 and transfer on tiny data, against plain loops."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.seeds import torch_generator
from brainit.core.settings import JointSettings, Stage1Settings, TransferSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.generator import Generator
from brainit.features.registry import load_backbone
from brainit.models.brain_mlp import BrainMlp
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.examples import ExampleSource, VoxelDropout
from brainit.training.joint import JointTask, noise_with_offset, train_joint
from brainit.training.loop import LoopPlan, fit
from brainit.training.positions import EpochPosition
from brainit.training.stage1 import (
    Stage1Task,
    draw_positions,
    fit_calibration,
    to_device,
)
from brainit.training.targets import BatchImages, LowlevelTargets, SemanticTargets
from brainit.training.transfer import adapt_bit, new_subject_bit

N_VOXELS = {"subj01": 12, "subj02": 9}
N_EXTERNAL = 7


def fmri(subject: str, n_images: int, first: int) -> SubjectFmri:
    rng = np.random.default_rng(int(subject[-1]))
    betas = rng.normal(size=(n_images, N_VOXELS[subject])).astype(np.float16)
    ids = np.arange(first, first + n_images)
    return SubjectFmri(subject, betas, ids, np.ones(n_images, dtype=np.int64))


@pytest.fixture
def source(tmp_path: Path) -> ExampleSource:
    rng = np.random.default_rng(3)
    synthetic = {}
    for subject, n in N_VOXELS.items():
        rows = rng.normal(size=(N_EXTERNAL, n)).astype(np.float16)
        write_shards(tmp_path / subject, iter([rows[:4], rows[4:]]))
        synthetic[subject] = ShardedArray(tmp_path / subject)
    real = {"subj01": fmri("subj01", 5, 0), "subj02": fmri("subj02", 4, 5)}
    return ExampleSource(real, synthetic, {"subj01": slice(0, 12), "subj02": slice(12, 21)})


@pytest.fixture
def images(tmp_path: Path) -> BatchImages:
    rng = np.random.default_rng(5)
    stores = []
    for name, n in (("stimuli", 9), ("external", N_EXTERNAL)):
        pixels = rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
        write_shards(tmp_path / name, iter([pixels]))
        stores.append(ImageStore(tmp_path / name))
    return BatchImages(stores[0], stores[1])


def bit(n_queries: int, out_width: int, n_voxels: int = 21) -> BrainInteractionTransformer:
    torch.manual_seed(0)
    return BrainInteractionTransformer(
        voxel_cluster=torch.arange(n_voxels) % 4,
        n_clusters=4,
        n_queries=n_queries,
        out_width=out_width,
        width=16,
        n_heads=2,
        n_blocks=1,
    )


def test_epoch_visits_every_example_once(source: ExampleSource) -> None:
    seen: Counter[tuple[bool, int]] = Counter()
    for batch in source.epoch(4, torch.Generator().manual_seed(0), None):
        n_rows = sum(len(group.betas) for group in batch.groups)
        assert n_rows == len(batch) <= 4
        seen.update(zip(batch.is_external.tolist(), batch.image.tolist(), strict=True))
    expected = {(False, i) for i in range(9)} | {(True, i) for i in range(N_EXTERNAL)}
    assert set(seen) == expected
    assert set(seen.values()) == {1}
    assert source.n_batches(4) == 4


def test_rows_belong_to_their_image_and_subject(source: ExampleSource) -> None:
    for batch in source.epoch(5, torch.Generator().manual_seed(1), None):
        row = 0
        for group in batch.groups:
            subject = "subj01" if group.voxels.start == 0 else "subj02"
            for betas in group.betas:
                image, is_external = batch.image[row], batch.is_external[row]
                if is_external:
                    expected = source.synthetic[subject].rows(np.array([image]))[0]
                else:
                    own = source.real[subject]
                    expected = own.betas[own.nsd_id == image][0]
                assert np.array_equal(betas.numpy(), expected.astype(np.float32))
                row += 1


def test_subject_of_an_external_image_is_drawn_uniformly(source: ExampleSource) -> None:
    counts: Counter[int] = Counter()
    for seed in range(150):
        for batch in source.epoch(16, torch.Generator().manual_seed(seed), None):
            sizes = [(g.voxels.start, len(g.betas)) for g in batch.groups]
            owner = np.repeat([s for s, _ in sizes], [n for _, n in sizes])
            counts.update(owner[batch.is_external].tolist())
    share = counts[0] / sum(counts.values())
    assert abs(share - 0.5) < 4 * 0.5 / sum(counts.values()) ** 0.5


def test_external_share_is_bounded(source: ExampleSource) -> None:
    few = ExampleSource(source.real, source.synthetic, source.voxels, external_per_real=0.5)
    assert few.n_external == round(4.5)
    kinds = [b.is_external for b in few.epoch(4, torch.Generator().manual_seed(0), None)]
    assert np.concatenate(kinds).sum() == few.n_external


def test_dropout_gives_each_example_its_own_voxels(source: ExampleSource) -> None:
    dropout = VoxelDropout(5, "without_replacement")
    batch = next(source.epoch(16, torch.Generator().manual_seed(0), dropout))
    for group in batch.groups:
        assert group.keep is not None
        assert (group.keep.sum(1) == 5).all()
        assert len({tuple(row.tolist()) for row in group.keep}) > 1


def test_positions_are_distinct_within_an_image() -> None:
    drawn = draw_positions(3, (6, 4), (4, 9), torch.Generator().manual_seed(0))
    assert [tuple(d.shape) for d in drawn] == [(3, 4), (3, 4)]
    for layer, n_tokens in zip(drawn, (6, 4), strict=True):
        for row in layer.tolist():
            assert len(set(row)) == len(row)
            assert max(row) < n_tokens


def lowlevel_task(source: ExampleSource, images: BatchImages) -> Stage1Task:
    targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    model = bit(targets.layout.n_tokens, targets.layout.width)
    settings = Stage1Settings(batch=4, voxels_per_example=6, queries_per_layer=(3, 3, 2, 2, 1))
    return Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))


def test_lowlevel_loss_is_infonce_per_layer_in_plain_loops(
    source: ExampleSource, images: BatchImages
) -> None:
    task = lowlevel_task(source, images)
    batch = next(source.epoch(4, torch.Generator().manual_seed(2), None))
    found = task.loss(batch, torch_generator(0, "x"))
    layout = task.targets.layout
    positions = draw_positions(
        4, layout.tokens_per_layer, task.settings.queries_per_layer, torch_generator(0, "x")
    )
    everything = task.model.decode(task.model.tokenize_mixed(batch.groups))
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
    batch = next(source.epoch(4, torch.Generator().manual_seed(2), None))
    found = task.loss(batch, torch_generator(0, "x")).item()
    layout = task.targets.layout
    drawn = (layout.tokens_per_layer, task.settings.queries_per_layer)
    positions = draw_positions(4, *drawn, torch_generator(0, "x"))
    everything = task.model.decode(task.model.tokenize_mixed(batch.groups))
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
    settings = Stage1Settings(batch=4, voxels_per_example=6)
    task = Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))
    batch = next(source.epoch(6, torch.Generator().manual_seed(2), None))
    predicted = model.decode(model.tokenize_mixed(batch.groups))
    total = 0.0
    for row in range(len(batch)):
        store = images.external if batch.is_external[row] else images.stimuli
        assert store is not None
        with torch.no_grad():
            tokens = network(store.images(batch.image[row : row + 1]))[0]
        total += float((predicted[row] - tokens).detach().square().mean())
    found = task.loss(batch, torch_generator(0, "x")).item()
    assert found == pytest.approx(total / len(batch), rel=1e-4)


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
    one = SemanticTargets(images, network, cached).of(batch, torch.device("cpu"))
    two = SemanticTargets(images, network, {}).of(batch, torch.device("cpu"))
    torch.testing.assert_close(one, two, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("decoder", ["bit", "mlp"])
def test_a_tiny_batch_is_learned(decoder: str, source: ExampleSource, images: BatchImages) -> None:
    task = lowlevel_task(source, images)
    if decoder == "mlp":
        layout = task.targets.layout
        sizes = {"n_queries": layout.n_tokens, "out_width": layout.width}
        task.model = BrainMlp(n_voxels=21, hidden=8, **sizes)
    few = ExampleSource({"subj01": fmri("subj01", 4, 0)}, {}, source.voxels)
    task.train = few
    losses = [next(iter(task.losses(EpochPosition(task.draws(0))))).item()]
    fit(list(task.model.parameters()), task, LoopPlan(70, 1e-2), "test")
    losses.append(next(iter(task.losses(EpochPosition(task.draws(0))))).item())
    assert losses[1] < 0.6 * losses[0]


def test_joint_loss_is_the_noise_predictions_error(
    source: ExampleSource, images: BatchImages
) -> None:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), JointSettings(batch=3), 0, torch.device("cpu"))
    task = JointTask(model, generator, source, None, images, *parts)
    batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
    found = task.loss(batch, task.draw(len(batch), torch_generator(0, "x"), 0.0)).item()
    draws = torch_generator(0, "x")
    latents = generator.encode(images.of(batch))
    noise = noise_with_offset(latents.shape, 0.04, draws)
    steps = torch.randint(1000, (3,), generator=draws)
    tokens = model.decode(model.tokenize_mixed(batch.groups))
    errors = []
    for i in range(3):
        a = generator.alphas_cumprod[steps[i]]
        noisy = a.sqrt() * latents[i] + (1 - a).sqrt() * noise[i]
        predicted = generator.predict_noise(noisy[None], steps[i : i + 1], tokens[i : i + 1])
        errors.append(float((predicted[0] - noise[i]).detach().square().mean()))
    assert found == pytest.approx(np.mean(errors), rel=1e-4)


def test_stage_2_makes_the_tokens_without_condition_once(
    source: ExampleSource, images: BatchImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    none, calls, told = generator.unconditional_tokens(), [], []
    predict = generator.predict_noise
    monkeypatch.setattr(generator, "unconditional_tokens", lambda: calls.append(1) or none)
    monkeypatch.setattr(generator, "predict_noise", lambda *a: told.append(a[2]) or predict(*a))
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), JointSettings(batch=3), 0, torch.device("cpu"))
    task = JointTask(model, generator, source, None, images, *parts)
    with torch.no_grad():
        n_batches = sum(1 for _ in task.losses(EpochPosition(task.draws(0))))
        batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
        task.loss(batch, task.draw(len(batch), torch_generator(0, "x"), 1.0))
    assert n_batches == task.n_batches() > 3 and len(calls) == 1
    assert torch.equal(told[-1], none.expand(3, -1, -1))


def gradients_of_joint(
    source: ExampleSource, images: BatchImages, checkpointing: bool
) -> tuple[dict[str, torch.Tensor], int]:
    """Return the gradients of one batch, and the bytes that its forward pass kept for backward."""
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    generator.unet.requires_grad_(True)
    model = bit(generator.n_tokens, generator.token_width)
    options = JointSettings(batch=3, gradient_checkpointing=checkpointing)
    parts = (Stage1Settings(), options, 0, torch.device("cpu"))
    task = JointTask(model, generator, source, None, images, *parts)
    batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task.loss(batch, task.draw(len(batch), torch_generator(0, "x"), 0.0))
    n_bytes = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    loss.backward()
    named = [*model.named_parameters(), *generator.unet.named_parameters()]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}, n_bytes


def test_activations_computed_twice_give_the_same_gradients_in_less_memory(
    source: ExampleSource, images: BatchImages
) -> None:
    wanted, all_kept = gradients_of_joint(source, images, checkpointing=False)
    found, few_kept = gradients_of_joint(source, images, checkpointing=True)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name
    assert len(wanted) > 100
    assert few_kept < 0.9 * all_kept


def test_stage_2_can_leave_all_of_the_unet_but_its_view_of_the_tokens(
    source: ExampleSource, images: BatchImages
) -> None:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    model = bit(generator.n_tokens, generator.token_width)
    options = JointSettings(
        batch=3, epochs=1, accumulation=1, warmup_steps=0, lr=1e-3, unet_weights="cross_attention"
    )
    parts = (Stage1Settings(), options, 0, torch.device("cpu"))
    before = {name: value.clone() for name, value in generator.unet.named_parameters()}
    embedding = model.voxel_embedding.detach().clone()
    train_joint(JointTask(model, generator, source, None, images, *parts))
    moved = {n for n, p in generator.unet.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if n.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))}
    assert moved
    assert not torch.equal(model.voxel_embedding, embedding)


def test_noise_offset_has_its_variance() -> None:
    noise = noise_with_offset(torch.Size((4000, 2, 3, 3)), 0.5, torch.Generator().manual_seed(0))
    assert noise.mean((2, 3)).var().item() == pytest.approx(0.25 + 1 / 9, rel=0.06)


def nearest(n_base: int) -> Artifact:
    tensors = {
        "voxel_cluster": np.array([3, 0, 1, 2, 3, 0, 1, 2, 3]),
        "nearest_voxel": np.arange(9) % n_base,
    }
    return Artifact(tensors, {})


def test_transfer_trains_voxel_embeddings_alone(source: ExampleSource, images: BatchImages) -> None:
    targets = LowlevelTargets(images, load_backbone("vgg", "demo_vgg_bn"))
    base = bit(targets.layout.n_tokens, targets.layout.width)
    model = new_subject_bit(base, nearest(21), Path("clusters"))
    assert torch.equal(model.voxel_embedding, base.voxel_embedding[:9])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    own = ExampleSource({"subj02": fmri("subj02", 4, 5)}, {}, {"subj02": slice(0, 9)})
    settings = Stage1Settings(batch=4, voxels_per_example=6, queries_per_layer=(3, 3, 2, 2, 1))
    task = Stage1Task(model, own, None, targets, settings, 0, torch.device("cpu"))
    history = adapt_bit(task, TransferSettings(epochs=3), settings)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"voxel_embedding"}
    assert len(history) == 3
    assert history["val_loss"].isna().all()


def test_transfer_refuses_clusters_of_another_base() -> None:
    with pytest.raises(PipelineError, match="neighbours among the base's 5 voxels"):
        new_subject_bit(bit(4, 8, n_voxels=5), nearest(9), Path("clusters"))
    alone = Artifact({"voxel_cluster": np.zeros(9, dtype=np.int64)}, {})
    with pytest.raises(PipelineError, match="nearest_voxel"):
        new_subject_bit(bit(4, 8), alone, Path("clusters"))


def test_device_is_the_settings() -> None:
    from brainit.core.device import run_device
    from brainit.core.settings import parse_sections

    assert run_device(parse_sections({"run": {"device": "cpu"}})).type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(PipelineError, match="CUDA"):
            run_device(parse_sections({"run": {"device": "cuda"}}))


def test_calibration_needs_validation_examples(source: ExampleSource, images: BatchImages) -> None:
    vgg = load_backbone("vgg", "demo_vgg_bn")
    targets = LowlevelTargets(images, vgg)
    layout = targets.layout
    settings = Stage1Settings(batch=4)
    model = bit(layout.n_tokens, layout.width)
    task = Stage1Task(model, source, None, targets, settings, 0, torch.device("cpu"))
    with pytest.raises(PipelineError, match="with validation examples"):
        fit_calibration(task)
    task.validation = source
    found = fit_calibration(task)
    predicted, true = [], []
    model.eval()
    with torch.no_grad():
        for batch in source.epoch(4, torch.Generator().manual_seed(9), None):
            tokens = model.tokenize_mixed(to_device(batch, torch.device("cpu")))
            predicted.append(model.decode(tokens))
            true.append(torch.cat(targets.of(batch, torch.device("cpu")), dim=1))
    x, y = torch.cat(predicted), torch.cat(true)
    error = (found.apply(x) - y).square().mean()
    assert error < (y - y.mean((0, 1))).square().mean() < (x - y).square().mean()
