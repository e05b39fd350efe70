"""Stage 2 on tiny data: its loss in plain loops, its memory, the trained part of the U-Net."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.refusals import refused
from tests.unit.training.tiny_examples import bit

from brainit.core.seeds import torch_generator
from brainit.core.settings import JointSettings, Stage1Settings
from brainit.features.generator import Generator
from brainit.features.latent_cache import extract_latents
from brainit.features.registry import load_backbone
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.joint import JointBatch, JointTask, noise_with_offset, train_joint
from brainit.training.latents import LatentFiles
from brainit.training.loader import Loading
from brainit.training.resume import EpochPosition


def demo_generator() -> Generator:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    return generator


def test_joint_loss_is_the_noise_predictions_error(
    source: ExampleSource, images: BatchImages
) -> None:
    generator = demo_generator()
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), JointSettings(batch=3), 0, torch.device("cpu"), "fixed")
    task = JointTask(model, generator, source, None, images, *parts)
    batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
    found = task.loss(JointBatch(batch, task.draw(len(batch), torch_generator(0, "x"), 0.0))).item()
    draws = torch_generator(0, "x")
    latents = generator.encode(images.of(batch))
    noise = noise_with_offset(latents.shape, 0.04, draws)
    steps = torch.randint(1000, (3,), generator=draws)
    tokens = model.decode(model.tokenize_mixed(batch.groups_on(torch.device("cpu"))))
    errors = []
    for i in range(3):
        a = generator.alphas_cumprod[steps[i]]
        noisy = a.sqrt() * latents[i] + (1 - a).sqrt() * noise[i]
        predicted = generator.predict_noise(noisy[None], steps[i : i + 1], tokens[i : i + 1])
        errors.append(float((predicted[0] - noise[i]).detach().square().mean()))
    assert found == pytest.approx(np.mean(errors), rel=1e-4)


@pytest.mark.parametrize(("share", "has_some"), [(0.0, False), (0.5, True)])
def test_the_settings_say_how_many_examples_have_no_tokens(
    source: ExampleSource, images: BatchImages, share: float, has_some: bool
) -> None:
    generator = demo_generator()
    options = JointSettings(batch=3, unconditional_share=share)
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), options, 0, torch.device("cpu"), "fixed")
    task = JointTask(model, generator, source, None, images, *parts)
    seen = []
    task.network.register_forward_pre_hook(lambda _, given: seen.append(given[2].dropped))
    with torch.no_grad():
        n_batches = len([task.loss(b) for b in task.batches(EpochPosition(task.draws(0)))])
    dropped = torch.cat(seen)
    assert n_batches > 3 and bool(dropped.any()) is has_some and not dropped.all()


def test_stage_2_makes_the_tokens_without_condition_once(
    source: ExampleSource, images: BatchImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = demo_generator()
    none, calls, told = generator.unconditional_tokens(), [], []
    predict = generator.predict_noise
    monkeypatch.setattr(generator, "unconditional_tokens", lambda: calls.append(1) or none)
    monkeypatch.setattr(generator, "predict_noise", lambda *a: told.append(a[2]) or predict(*a))
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), JointSettings(batch=3), 0, torch.device("cpu"), "fixed")
    task = JointTask(model, generator, source, None, images, *parts)
    with torch.no_grad():
        n_batches = len([task.loss(b) for b in task.batches(EpochPosition(task.draws(0)))])
        batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
        task.loss(JointBatch(batch, task.draw(len(batch), torch_generator(0, "x"), 1.0)))
    assert n_batches == task.n_batches() > 3 and len(calls) == 1
    assert torch.equal(told[-1], none.expand(3, -1, -1))


def test_stage_2_draws_tokens_without_condition_for_each_example(
    source: ExampleSource, images: BatchImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples that keep their condition have the BIT's tokens, the others their own draws."""
    generator = demo_generator()
    told, predict = [], generator.predict_noise
    monkeypatch.setattr(generator, "predict_noise", lambda *a: told.append(a[2]) or predict(*a))
    model = bit(generator.n_tokens, generator.token_width)
    parts = (Stage1Settings(), JointSettings(batch=4), 0, torch.device("cpu"), "drawn")
    task = JointTask(model, generator, source, None, images, *parts)
    batch = next(source.epoch(4, torch.Generator().manual_seed(4), None))
    with torch.no_grad():
        drawn = task.draw(len(batch), torch_generator(0, "x"), 0.5)
        task.loss(JointBatch(batch, drawn))
        own = model.decode(model.tokenize_mixed(batch.groups_on(torch.device("cpu"))))
    is_dropped = drawn.dropped.flatten()
    assert 0 < is_dropped.sum() < 4
    assert torch.equal(told[0][is_dropped], drawn.unconditional)
    assert torch.allclose(told[0][~is_dropped], own[~is_dropped], atol=1e-5)
    fixed = generator.unconditional_tokens()[0]
    assert all((row - fixed).abs().max() > 1 for row in drawn.unconditional)


@pytest.fixture(scope="module")
def cached(images: BatchImages, tmp_path_factory: pytest.TempPathFactory) -> LatentFiles:
    folder, generator = tmp_path_factory.mktemp("latents"), demo_generator()
    assert images.external is not None
    for name, store in (("stimuli", images.stimuli), ("external", images.external)):
        extract_latents(store, generator, "demo_unclip", folder / name, 4, torch.device("cpu"))
    return LatentFiles(folder / "stimuli", folder / "external")


def task_with(
    files: LatentFiles, source: ExampleSource, images: BatchImages, n_threads: int = 0
) -> JointTask:
    generator = demo_generator()
    model = bit(generator.n_tokens, generator.token_width)
    options = JointSettings(batch=3, epochs=2, accumulation=1, warmup_steps=0, lr=1e-3)
    cpu = torch.device("cpu")
    parts = (Stage1Settings(), options, 0, cpu, "drawn")
    cached = files.open("demo_unclip", generator)
    loading = Loading(n_threads, cpu)
    return JointTask(model, generator, source, None, images, *parts, cached=cached, loading=loading)


def test_cached_latents_are_those_of_the_images_in_float16(
    source: ExampleSource,
    images: BatchImages,
    cached: LatentFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every batch has the latents of its images, in its order, and the VAE is not run."""
    task = task_with(cached, source, images)
    plain, encode = task_with(LatentFiles(), source, images), Generator.encode
    for batch in task.batches(EpochPosition(task.draws(0))):
        assert batch.images is not None
        for n, (image, is_external) in enumerate(
            zip(batch.examples.image, batch.examples.is_external, strict=True)
        ):
            store = images.external if is_external else images.stimuli
            assert store is not None
            wanted = encode(task.generator, store.images(np.array([image])))[0]
            assert batch.images[n].dtype == torch.float16
            torch.testing.assert_close(batch.images[n].float(), wanted, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            monkeypatch.setattr(Generator, "encode", None)
            found = task.loss(batch)
            monkeypatch.setattr(Generator, "encode", encode)
            computed = plain.loss(replace(batch, images=None))
        assert float(found) == pytest.approx(float(computed), rel=1e-3)


def test_a_batch_with_an_image_that_is_not_cached_is_encoded(
    source: ExampleSource, images: BatchImages, cached: LatentFiles
) -> None:
    task = task_with(LatentFiles(cached.latents), source, images)
    kinds = set()
    for batch in task.batches(EpochPosition(task.draws(0))):
        assert batch.images is not None
        is_cached = batch.images.dtype == torch.float16
        assert is_cached == (not batch.examples.is_external.any())
        kinds.add(is_cached)
        assert np.isfinite(float(task.loss(batch).detach()))
    assert False in kinds


def test_cached_latents_train_as_encoded_ones_with_and_without_threads(
    source: ExampleSource, images: BatchImages, cached: LatentFiles
) -> None:
    histories, states = [], []
    for files, n_threads in ((LatentFiles(), 0), (cached, 0), (cached, 2)):
        task = task_with(files, source, images, n_threads)
        histories.append(train_joint(task)["train_loss"].to_numpy())
        states.append(task.generator.unet.state_dict())
    assert np.array_equal(histories[1], histories[2])
    assert all(torch.equal(states[2][name], value) for name, value in states[1].items())
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-3)


def test_latents_of_another_generator_are_refused(
    source: ExampleSource, images: BatchImages, cached: LatentFiles
) -> None:
    with refused("wrong-kind", "latents of unclip6", "those of demo_unclip"):
        cached.open("unclip6", demo_generator())


def gradients_of_joint(
    source: ExampleSource, images: BatchImages, checkpointing: bool
) -> tuple[dict[str, torch.Tensor], int]:
    """Return the gradients of one batch, and the bytes that its forward pass kept for backward."""
    generator = demo_generator()
    generator.unet.requires_grad_(True)
    model = bit(generator.n_tokens, generator.token_width)
    options = JointSettings(batch=3, gradient_checkpointing=checkpointing)
    parts = (Stage1Settings(), options, 0, torch.device("cpu"), "fixed")
    task = JointTask(model, generator, source, None, images, *parts)
    batch = next(source.epoch(3, torch.Generator().manual_seed(4), None))
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task.loss(JointBatch(batch, task.draw(len(batch), torch_generator(0, "x"), 0.0)))
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
    generator = demo_generator()
    model = bit(generator.n_tokens, generator.token_width)
    options = JointSettings(
        batch=3, epochs=1, accumulation=1, warmup_steps=0, lr=1e-3, unet_weights="cross_attention"
    )
    parts = (Stage1Settings(), options, 0, torch.device("cpu"), "fixed")
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
