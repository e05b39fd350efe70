"""The voxel encoder against plain loops, the released code's golden values, and its own file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused
from tests.small_models import SMALL_ENCODER, small_backbone
from torch import Tensor, nn

from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import EncoderSettings, FeatureSettings
from brainit.features.registry import load_backbone
from brainit.models import voxel_encoder as module
from brainit.models.authors.encoder_names import from_released_names
from brainit.models.voxel_encoder import (
    VoxelEncoder,
    load_encoder,
    require_encoder_settings,
    save_encoder,
)

N_VOXELS = {"subj01": 11, "subj05": 8}
SETTINGS = SMALL_ENCODER
FEATURES = FeatureSettings(encoder_backbone="tiny")


def tiny_backbone() -> nn.Module:
    return small_backbone(image_size=16, n_blocks=3, n_registers=2, layers=(1, 3))


@pytest.fixture
def encoder() -> VoxelEncoder:
    with seeded_init(2, "encoder"):
        encoder = VoxelEncoder(tiny_backbone(), SETTINGS, N_VOXELS)
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn_like(parameter)
    return encoder.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch_generator(1, "images"))


@pytest.fixture
def path(encoder: VoxelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "load_backbone", lambda role, name, folder: tiny_backbone())
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder, settings=SETTINGS, backbone_name="tiny", pool="all", seed=1)
    return path


def by_loops(encoder: VoxelEncoder, image: Tensor, voxel: int) -> float:
    """Predict one voxel from one image, token by token, in float64."""
    state = {name: value.double().numpy() for name, value in encoder.own_state().items()}
    backbone = encoder.backbone.double()
    tokens = backbone.embed(image[None].double())[0]
    vector = state["voxel_embedding"][voxel]
    total, layer = 0.0, 0
    for number, block in enumerate(backbone.blocks):
        tokens = block(tokens[None])[0]
        down = state[f"adapters.{number}.down.weight"]
        up = state[f"adapters.{number}.up.weight"]
        rows = tokens.numpy()
        rows = rows + 0.01 / 2 * np.stack([up @ (down @ row) for row in rows])
        tokens = torch.from_numpy(rows)
        if number + 1 not in (1, 3):
            continue
        weights = state["functional"][:, 6 * layer : 6 * layer + 6]
        total += float(attended(state, layer, rows, vector) @ (vector @ weights))
        layer += 1
    encoder.backbone.float()
    return total


def attended(
    state: dict[str, np.ndarray], layer: int, rows: np.ndarray, vector: np.ndarray
) -> np.ndarray:
    """Return the features that one voxel reads in one layer."""

    def affine(name: str, x: np.ndarray) -> np.ndarray:
        return state[f"layers.{layer}.{name}.weight"] @ x + state[f"layers.{layer}.{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return (
            scaled * state[f"layers.{layer}.{name}.weight"] + state[f"layers.{layer}.{name}.bias"]
        )

    kept = [rows[0], *rows[3:]]  # without the two registers
    values = [affine("project", norm("norm_in", row)) for row in kept]
    query = affine("query", vector)
    scores = [
        query @ (affine("key", value) + place)
        for value, place in zip(values, state["position"], strict=True)
    ]
    share = np.exp(np.array(scores) - max(scores))
    seen = norm("norm", sum(w * v for w, v in zip(share / share.sum(), values, strict=True)))
    wide = affine("widen", seen)
    gelu = 0.5 * wide * (1 + torch.erf(torch.from_numpy(wide) / 2**0.5).numpy())
    return seen + affine("narrow", gelu)


def test_literal_form_equals_plain_loops(encoder: VoxelEncoder, images: Tensor) -> None:
    index = torch.tensor([[0, 5, 18], [3, 3, 1], [17, 2, 10]])
    found = encoder(images, index)
    for image in range(3):
        for place in range(3):
            expected = by_loops(encoder, images[image], int(index[image, place]))
            assert float(found[image, place].detach()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("rows", [512, 3])
def test_hoisted_form_equals_literal(
    encoder: VoxelEncoder, images: Tensor, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", {"cpu": (rows, max(1, rows // 3))})
    voxels = encoder.voxel_slice("subj05")
    index = torch.arange(voxels.start, voxels.stop).expand(3, -1)
    literal = encoder(images, index)
    torch.testing.assert_close(encoder.predict(images, voxels), literal, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        encoder.predict(images, encoder.hoist(voxels)), encoder.predict(images, voxels)
    )


def demo_encoder() -> VoxelEncoder:
    """Return an encoder on the demo's trained backbone, every part of which has an effect."""
    backbone = load_backbone("encoder_backbone", "demo_vit")
    with seeded_init(4, "encoder"):
        encoder = VoxelEncoder(backbone, EncoderSettings(dropout=0.0), {"subj01": 300})
        for adapter in encoder.adapters:
            nn.init.normal_(adapter.up.weight)
        nn.init.normal_(encoder.voxel_embedding, std=0.3)
    return encoder


@pytest.mark.parametrize("form", ["literal", "hoisted"])
def test_in_bfloat16_it_predicts_nearly_the_same(form: str) -> None:
    encoder = demo_encoder()
    images = torch.rand(3, 3, 64, 64, generator=torch_generator(1, "images"))
    index = torch.arange(300).expand(3, -1)
    seen: list[torch.dtype] = []
    inner = [encoder.backbone.blocks[2].qkv, encoder.adapters[1].down, encoder.layers[0].widen]
    for layer in inner:
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output.dtype))

    def predicted() -> Tensor:
        with torch.no_grad():
            literal = form == "literal"
            return encoder(images, index) if literal else encoder.predict(images, slice(0, 300))

    wanted = predicted()
    assert set(seen) == {torch.float32}
    seen.clear()
    encoder.use_precision(torch.bfloat16)
    found = predicted()
    assert set(seen) == {torch.bfloat16}, "backbone, adapters and voxels' attention"
    assert found.dtype == torch.float32
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.02


def test_gradients_in_bfloat16_are_nearly_the_same() -> None:
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        encoder = demo_encoder().train()
        encoder.use_precision(dtype)
        images = torch.rand(3, 3, 64, 64, generator=torch_generator(1, "images"))
        encoder(images, torch.arange(300).expand(3, -1)).square().mean().backward()
        trained = {n: p.grad for n, p in encoder.named_parameters() if p.requires_grad}
        assert all(g is not None and g.dtype == torch.float32 for g in trained.values())
        found[dtype] = trained
    for name, wanted in found[torch.float32].items():
        if name.endswith("key.bias"):
            continue  # moves all scores of a voxel alike: its gradient is zero but for rounding
        error = (found[torch.bfloat16][name] - wanted).norm() / wanted.norm()
        assert 0 < float(error) < 0.1, name


def test_prediction_ignores_training_mode_and_keeps_no_graph(
    encoder: VoxelEncoder, images: Tensor
) -> None:
    expected = encoder.predict(images, slice(0, 4))
    found = encoder.train().predict(images, slice(0, 4))
    assert torch.equal(found, expected) and not found.requires_grad


def test_permuted_voxels_permute_the_output(encoder: VoxelEncoder, images: Tensor) -> None:
    order = torch.randperm(11, generator=torch_generator(1, "order"))
    index = torch.arange(11).expand(3, -1)
    torch.testing.assert_close(encoder(images, index[:, order]), encoder(images, index)[:, order])


def test_adapters_start_without_effect_and_learn(images: Tensor) -> None:
    with seeded_init(3, "encoder"):
        encoder = VoxelEncoder(tiny_backbone(), SETTINGS, N_VOXELS).eval()
    tokens = torch.rand(2, 5, 12)
    assert all(torch.equal(adapter(tokens), tokens) for adapter in encoder.adapters)
    encoder(images, torch.zeros(3, 1, dtype=torch.long)).sum().backward()
    assert all(adapter.up.weight.grad.abs().sum() > 0 for adapter in encoder.adapters)
    assert all(p.grad is None for p in encoder.backbone.parameters())


def test_registers_take_part_in_the_blocks_only(encoder: VoxelEncoder, images: Tensor) -> None:
    features = encoder.image_features(images)
    assert [x.shape for x in features] == [(3, 17, 6)] * 2


def test_voxels_lie_subject_after_subject(encoder: VoxelEncoder) -> None:
    assert encoder.voxel_slice("subj01") == slice(0, 11)
    assert encoder.voxel_slice("subj05") == slice(11, 19)
    with refused("unknown-name", "subj02"):
        encoder.voxel_slice("subj02")


class TokensGiven(nn.Module):
    """A backbone whose blocks do nothing to given tokens."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens, self.width, self.n_registers, self.n_tokens = tokens, 20, 4, 10
        self.layers = (1, 2, 4)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(4))

    def embed(self, images: Tensor) -> Tensor:
        return self.tokens


def test_golden_predictions(golden_dir: Path) -> None:
    golden = {k: torch.from_numpy(v) for k, v in np.load(golden_dir / "encoder_small.npz").items()}
    settings = EncoderSettings(
        feature_width=16,
        voxel_width=24,
        adapter_rank=int(golden["rank"]),
        adapter_alpha=float(golden["alpha"]),
    )
    encoder = VoxelEncoder(TokensGiven(golden["tokens_before_blocks"]), settings, {"all": 60})
    weights = {k.removeprefix("weights/"): v for k, v in golden.items() if k.startswith("weights/")}
    encoder.load_own_state(from_released_names(weights))
    images, index, expected = torch.zeros(2, 3, 4, 4), golden["voxel_index"], golden["prediction"]
    tolerance = 1e-4 * float(expected.abs().max())
    literal = encoder.eval()(images, index)
    hoisted = encoder.predict(images, slice(0, 60)).gather(1, index)
    assert float((literal - expected).detach().abs().max()) < tolerance
    assert float((hoisted - expected).abs().max()) < tolerance


def test_unknown_released_name() -> None:
    with refused("wrong-kind", "lora_C"):
        from_released_names({"lora_C.0.weight": torch.zeros(1)})


def test_file_gives_the_same_encoder(path: Path, encoder: VoxelEncoder, images: Tensor) -> None:
    loaded = load_encoder(path, FEATURES)
    assert loaded.subjects == ("subj01", "subj05") and not loaded.training
    assert torch.equal(loaded.predict(images, slice(2, 19)), encoder.predict(images, slice(2, 19)))
    require_encoder_settings(path, loaded, SETTINGS)
    again = path.with_name("again.safetensors")
    save_encoder(again, loaded, settings=SETTINGS, backbone_name="tiny", pool="all", seed=1)
    assert again.read_bytes() == path.read_bytes()


def test_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with refused("damaged-file", "'encoder'", str(path)):
        load_encoder(path, FEATURES)


def test_other_backbone_and_other_sizes(path: Path) -> None:
    with refused("wrong-settings"):
        load_encoder(path, FeatureSettings(encoder_backbone="another"))
    wider = SETTINGS.model_copy(update={"voxel_width": 16})
    with refused("wrong-settings"):
        require_encoder_settings(path, load_encoder(path, FEATURES), wider)


def test_backbone_of_another_shape(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = small_backbone(image_size=16, width=8, n_blocks=3, n_registers=2, layers=(1, 3))
    monkeypatch.setattr(module, "load_backbone", lambda role, name, folder: other)
    with refused("wrong-settings"):
        load_encoder(path, FEATURES)
