"""The shipped networks against plain definitions."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.demo.scenes import SceneSet, as_images, make_scenes
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.generator import Generator, cumulative_alphas, position_channels
from brainit.features.registry import DEMO_FOLDER, find_entry, load_backbone, weights_path
from brainit.features.registry_entries import ENTRIES
from brainit.features.semantic_tokens import CLIP_MEAN, CLIP_STD, SemanticTokens, load_openclip
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD, VggFeatures, build_vgg, vgg16_bn_state
from brainit.features.weights_file import (
    count_parameters,
    load_state,
    read_network,
    save_network,
)

MESSAGE = r"expected .*found .*Fix: "


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    return make_scenes(48, 7, "held_out")


@pytest.fixture(scope="module")
def images(scenes: SceneSet) -> torch.Tensor:
    return as_images(scenes.images)


def test_shipped_folder_is_small_and_has_recipes() -> None:
    files = list(DEMO_FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} == {entry.name for entry in ENTRIES if entry.is_demo}
    assert sum(path.stat().st_size for path in DEMO_FOLDER.iterdir()) < 10_000_000
    for path in files:
        assert path.with_suffix(".json").is_file()
        assert (DEMO_FOLDER / f"{path.stem}.curve.csv").is_file()


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.is_demo], ids=lambda e: e.name)
def test_loaded_networks_are_frozen_and_finite(entry) -> None:
    network = load_backbone(entry.role, entry.name)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_tokens_are_after_the_final_norm(images: torch.Tensor) -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    norm = network.clip.visual.ln_post
    plain = (network(images) - norm.bias) / norm.weight
    assert torch.allclose(plain.mean(-1), torch.zeros(()), atol=1e-3)
    assert torch.allclose(plain.var(-1, unbiased=False), torch.ones(()), atol=2e-2)
    assert plain.shape[1:] == (network.n_tokens, network.width)


def test_tokens_against_the_towers_own_hooks(images: torch.Tensor) -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    seen: list[torch.Tensor] = []
    handle = network.clip.visual.ln_post.register_forward_hook(lambda *a: seen.append(a[2]))
    tokens = network(images)
    handle.remove()
    assert torch.equal(seen[0][:, 1:], tokens), "all patch tokens, class token left out"


def test_an_open_clip_whose_tokens_are_before_the_norm_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "2.23.0")
    with pytest.raises(PipelineError) as error:
        load_backbone("semantic_tokens", "demo_openclip")
    assert error.value.code == "not-installed"
    assert "2.24" in error.value.expected and error.value.found == "2.23.0"
    monkeypatch.setattr(metadata, "version", lambda _: "10.0.0rc1")
    assert load_backbone("semantic_tokens", "demo_openclip").n_tokens == 64


def test_contrast_is_halved_before_normalisation() -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    images = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    assert torch.allclose(network.prepare(images), ((images + 1) / 2 - mean) / std, atol=1e-6)
    network.halve_contrast = False
    assert torch.allclose(network.prepare(images), (images - mean) / std, atol=1e-6)


def test_images_and_captions_find_each_other(scenes: SceneSet, images: torch.Tensor) -> None:
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    pictures = F.normalize(network.clip.visual(network.prepare(images))[0], dim=-1)
    texts = network.clip.encode_text(torch.from_numpy(scenes.captions), normalize=True)
    top1 = ((pictures @ texts.T).argmax(1) == torch.arange(len(images))).float().mean()
    assert top1 > 0.5, "chance is 0.02"


def test_vgg_maps_against_plain_layers(images: torch.Tensor) -> None:
    in_use = load_backbone("vgg", "demo_vgg_bn")
    path = weights_path("vgg", "demo_vgg_bn", None)
    architecture, state = read_network(path, "vgg")
    network = build_vgg(architecture).eval()
    load_state(path, network, state)
    assert isinstance(network, VggFeatures)
    small = F.interpolate(images[:2], (32, 32), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = (small - mean) / std
    maps = in_use(images[:2])
    for number, stage in enumerate(network.stages):
        x = F.max_pool2d(x, 2) if number else x
        for conv, norm, _ in zip(stage[::3], stage[1::3], stage[2::3], strict=True):
            x = F.conv2d(x, conv.weight, conv.bias, padding=1)
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            x = (x - norm.running_mean.view(-1, 1, 1)) * scale.view(-1, 1, 1)
            x = (x + norm.bias.view(-1, 1, 1)).clamp_min(0)
        assert torch.allclose(maps[number], x, atol=1e-4)
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]


def test_vgg16_names_are_torchvisions() -> None:
    import_torchvision()
    from torchvision.models import vgg16_bn

    with torch.device("meta"):
        published, ours = vgg16_bn(), VggFeatures((64, 128, 256, 512, 512), 112)
    classifier = 123_642_856
    assert count_parameters(published) == 138_365_992 == count_parameters(ours) + classifier
    renamed = vgg16_bn_state(published.state_dict())
    own = ours.state_dict()
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in own.items()}


def test_vgg16_taps_are_the_papers(tmp_path: Path) -> None:
    import_torchvision()
    from safetensors.torch import save_file
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    published = make_layers(cfgs["D"], batch_norm=True).eval()
    for layer in published:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    state = {f"features.{name}": tensor for name, tensor in published.state_dict().items()}
    save_file(state, tmp_path / "vgg16_bn.safetensors")
    network = load_backbone("vgg", "vgg16_bn", tmp_path)
    x = torch.rand(1, 3, 112, 112)
    maps = network(x)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    y = (x - mean) / std
    taps = {5: 0, 12: 1, 22: 2, 32: 3, 42: 4}
    for index, layer in enumerate(published):
        y = layer(y)
        if index in taps:
            assert torch.allclose(maps[taps[index]], y, atol=1e-4), index


def test_openclip_weights_give_the_tokens_of_their_model(
    tmp_path: Path, images: torch.Tensor
) -> None:
    from safetensors.torch import save_file

    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    save_file(network.clip.state_dict(), tmp_path / "clip.safetensors")
    architecture, _ = read_network(DEMO_FOLDER / "demo_openclip.safetensors", "semantic_tokens")
    vision = {k: v for k, v in architecture["vision_cfg"].items() if k != "output_tokens"}
    path = tmp_path / "clip.safetensors"
    again = load_openclip(path, read_tensors(path), {**architecture, "vision_cfg": vision})
    assert torch.allclose(again.eval()(images[:2]), network(images[:2]), atol=1e-4)


def test_generator_sees_positions_as_sines() -> None:
    waves = position_channels(4, 2)
    for row in range(4):
        for column in range(4):
            x, y = (column + 0.5) / 4, (row + 0.5) / 4
            angles = [np.pi * x, np.pi * y, 2 * np.pi * x, 2 * np.pi * y]
            expected = [wave(a) for a in angles for wave in (np.sin, np.cos)]
            assert np.allclose(waves[:, row, column].numpy(), expected, atol=1e-6)


def test_noise_schedule_is_scaled_linear() -> None:
    product, alphas = 1.0, []
    for t in range(1000):
        root = 0.00085**0.5 + t / 999 * (0.012**0.5 - 0.00085**0.5)
        product *= 1 - root**2
        alphas.append(product)
    assert np.allclose(cumulative_alphas().numpy(), alphas, rtol=1e-10)


def test_added_noise_keeps_the_variance() -> None:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    t = torch.tensor([0, 500, 999])
    clean, noise = torch.randn(3, 4, 16, 16), torch.randn(3, 4, 16, 16)
    alpha = generator.alphas_cumprod[t]
    noisy = generator.add_noise(clean, noise, t)
    for i in range(3):
        expected = alpha[i] ** 0.5 * clean[i] + (1 - alpha[i]) ** 0.5 * noise[i]
        assert torch.allclose(noisy[i], expected, atol=1e-6)
    assert torch.equal(generator.unconditional_tokens(), generator.unconditional_tokens())


def test_autoencoder_gives_scenes_back(images: torch.Tensor) -> None:
    generator = load_backbone("generator", "demo_unclip")
    assert isinstance(generator, Generator)
    with torch.no_grad():
        latents = generator.encode(images)
        back = generator.decode(latents)
    r = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(images, back, strict=True)]
    assert np.mean(r) > 0.95
    assert 0.5 < latents.std() < 2


def test_unknown_network_is_refused_with_the_list() -> None:
    with pytest.raises(PipelineError) as error:
        load_backbone("vgg", "demo_vgg")
    assert error.value.code == "unknown-name" and error.value.where == "features.vgg"
    assert "demo_vgg_bn" in error.value.expected and "'demo_vgg'" in error.value.found
    with pytest.raises(PipelineError, match=MESSAGE) as error:
        find_entry("demo_vit", "vgg")
    assert error.value.code == "unknown-name" and "demo_vit" not in error.value.expected


def test_missing_published_weights_name_their_source(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        load_backbone("vgg", "vgg16_bn", tmp_path)
    assert error.value.code == "missing-file"
    assert error.value.where == str(tmp_path / "vgg16_bn.safetensors")
    for part in ("brainit weights fetch vgg16_bn", "download.pytorch.org", "527.9 MB"):
        assert part in error.value.fix


def test_truncated_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_network(path, nn.Linear(2, 2), {"kind": "vgg"})
    with pytest.raises(PipelineError) as error:
        read_network(path, "metric")
    assert error.value.code == "wrong-kind"
    assert "'metric'" in error.value.expected and "'vgg'" in error.value.found
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(PipelineError, match=MESSAGE) as error:
        read_network(path, "vgg")
    assert error.value.code == "damaged-file"
    path.unlink()
    with pytest.raises(PipelineError) as error:
        read_network(path, "vgg")
    assert error.value.code == "missing-file" and error.value.where == str(path)


def test_metric_network_shares_nothing_with_the_decoders() -> None:
    metric = load_backbone("metric", "demo_resnet").state_dict()
    for entry in ENTRIES:
        if entry.is_demo and entry.role != "metric":
            other = load_backbone(entry.role, entry.name).state_dict()
            shapes = {tuple(v.shape) for v in other.values() if v.ndim == 4}
            shared = [v for v in metric.values() if v.ndim == 4 and tuple(v.shape) in shapes]
            for value in shared:
                same = [o for o in other.values() if o.shape == value.shape]
                assert not any(torch.equal(value, o) for o in same)
