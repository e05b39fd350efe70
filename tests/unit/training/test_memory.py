"""GPU memory of a training, counted from tensors that are really there."""

from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from torch import nn

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.core.settings import JointSettings
from brainit.features.unclip import UNCLIP6, build_parts
from brainit.training.joint import trained_weights
from brainit.training.optimizers import make_optimizer, require_memory, training_bytes

OPTIMIZERS: tuple[Literal["adamw", "adafactor"], ...] = ("adamw", "adafactor")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bytes_are_those_of_the_tensors_of_a_step(name: Literal["adamw", "adafactor"]) -> None:
    torch.manual_seed(0)
    frozen, trained = nn.Linear(5, 3), nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(4, 6))
    frozen.requires_grad_(False)
    kept = [*frozen.parameters(), *trained.parameters()]
    optimizer = make_optimizer(name, list(trained.parameters()), 1e-3, 0.01)
    trained(torch.rand(1, 2, 6, 6)).square().sum().backward()
    optimizer.step()
    tensors = [*kept, *(p.grad for p in kept if p.grad is not None)]
    tensors += [p.detach().bfloat16() for p in trained.parameters()]
    for state in optimizer.state.values():
        tensors += [t for key, t in state.items() if key != "step" and t is not None]
    expected = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert training_bytes(kept, list(trained.parameters()), name) == expected


def test_the_papers_unet_by_optimizer_and_trained_weights() -> None:
    """Gigabytes of the U-Net alone, as the overlays for 24, 48 and 80 GB tell them."""
    import_torchvision()
    with torch.device("meta"):
        unet, _ = build_parts(UNCLIP6)
    kept, found = list(unet.parameters()), {}
    for which in ("all", "cross_attention"):
        trained = trained_weights(unet, JointSettings(unet_weights=which))
        assert {id(p) for p in kept if p.requires_grad} == {id(p) for p in trained}
        for name in OPTIMIZERS:
            found[which, name] = round(training_bytes(kept, trained, name) / 1e9, 1)
    assert found == {
        ("all", "adamw"): 45.0,
        ("all", "adafactor"): 26.0,
        ("cross_attention", "adamw"): 13.9,
        ("cross_attention", "adafactor"): 11.7,
    }


def test_a_gpu_too_small_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(total_memory=24_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    require_memory(torch.device("cuda"), 23_000_000_000)
    with pytest.raises(PipelineError) as error:
        require_memory(torch.device("cuda"), 28_000_000_000)
    assert error.value.code == "out-of-memory" and "config/gpu_48gb.yaml" in error.value.fix
    assert "28.0 GB" in error.value.expected and error.value.found == "24.0 GB"
    require_memory(torch.device("cpu"), 28_000_000_000)
