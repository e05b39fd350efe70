import pytest
import torch
from tests.refusals import refused

from brainit.core.artifacts import write_artifact
from brainit.features.generator import build_generator
from brainit.models import generator_file
from brainit.models.generator_file import load_generator, save_generator

ARCHITECTURE = {
    "image_size": 16,
    "n_tokens": 3,
    "token_width": 8,
    "unet": {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 8),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    },
    "vae": {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4},
}


@pytest.fixture(autouse=True)
def small_generators(monkeypatch):
    """Give the registry's place to small generators of fixed random weights."""

    def build(*_):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            architecture = {**ARCHITECTURE, "vae": {**ARCHITECTURE["vae"]}}
            architecture["vae"]["down_block_types"] = ("DownEncoderBlock2D",) * 2
            architecture["vae"]["up_block_types"] = ("UpDecoderBlock2D",) * 2
            return build_generator(architecture)

    monkeypatch.setattr(generator_file, "load_backbone", build)


def predict(generator) -> torch.Tensor:
    with torch.no_grad():
        latents, tokens = torch.ones(1, 4, 8, 8), torch.ones(1, 3, 8)
        return generator.predict_noise(latents, torch.tensor([5]), tokens)


def test_trained_weights_survive_the_file(tmp_path):
    trained = load_generator("small", None)
    before = predict(trained)
    with torch.no_grad():
        for parameter in trained.unet.parameters():
            parameter.add_(0.01)
    save_generator(tmp_path / "g.safetensors", trained, name="small", seed=1)
    again = load_generator("small", tmp_path / "g.safetensors")
    assert torch.equal(predict(again), predict(trained))
    assert not torch.equal(predict(again), before)


def test_pretrained_weights_are_not_written_over(tmp_path, monkeypatch):
    """They stay mapped from their file, unread: two U-Nets would take 20 GB."""
    pretrained = load_generator("small", None)
    save_generator(tmp_path / "g.safetensors", pretrained, name="small", seed=1)
    with torch.no_grad():
        for parameter in pretrained.unet.parameters():
            parameter.fill_(7.0)
    mapped = list(pretrained.unet.parameters())
    monkeypatch.setattr(generator_file, "load_backbone", lambda *_: pretrained)
    loaded = load_generator("small", tmp_path / "g.safetensors")
    assert all(bool((parameter == 7.0).all()) for parameter in mapped)
    assert not any(bool((p == 7.0).all()) for p in loaded.unet.parameters())


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(path, load_generator("small", None), name="other", seed=1)
    with refused("wrong-settings", "small", "other"):
        load_generator("small", path)
    weight = torch.ones(3).numpy()
    write_artifact(path, "generator", {"weight": weight}, {"name": "small", "seed": 1})
    with refused("inconsistent-inputs", "small"):
        load_generator("small", path)
