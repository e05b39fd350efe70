"""LoRA and Skip-LoRA: golden values, plain sums, and which weights they train."""

from pathlib import Path

import torch
from tests.unit.models.peers.golden_peers import CLOSE, read
from torch import nn

from brainit.models.peers.adapters import (
    LoraLinear,
    SkipLora,
    bounded_pearson,
    pearson,
    skip_loss,
    use_lora,
)


def test_golden_layer_and_loss(golden_dir: Path) -> None:
    golden = read(golden_dir, "mindtuner")
    rank, alpha = int(golden["rank_alpha"][0]), float(golden["rank_alpha"][1])
    base = nn.Linear(8, 9)
    base.load_state_dict({"weight": golden["weight"], "bias": golden["bias"]})
    layer, skip = LoraLinear(base, rank, alpha), SkipLora(11, 9, rank, alpha)
    layer.lora.load_state_dict({"A": golden["lora_A"], "B": golden["lora_B"]})
    skip.lora.load_state_dict({"A": golden["skip_A"], "B": golden["skip_B"]})
    out, added = layer(golden["hidden"]), skip(golden["voxels"])
    torch.testing.assert_close(out, golden["linear_and_lora"], **CLOSE)
    torch.testing.assert_close(added, golden["skip"], **CLOSE)
    torch.testing.assert_close(out + added, golden["output"], **CLOSE)
    torch.testing.assert_close(pearson(out, added), golden["pearson"], **CLOSE)
    torch.testing.assert_close(
        skip_loss([(out, added)], has_gradient=False), golden["skip_loss"], **CLOSE
    )


def test_loss_in_plain_loops_and_its_gradient() -> None:
    outputs = [(torch.randn(3, 5).requires_grad_(), torch.randn(3, 5)) for _ in range(2)]
    total, bounded = 0.0, 0.0
    for layer, skip in outputs:
        for one, other in zip(layer.detach(), skip, strict=True):
            correlation = abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1]))
            total += correlation / 6
            ratio = float(other.std() / one.std())
            bounded += correlation * ratio / (ratio**2 + 0.01) ** 0.5 / 6
    found = skip_loss(outputs, has_gradient=False)
    torch.testing.assert_close(found, torch.tensor(total))
    assert not found.requires_grad
    loss = skip_loss(outputs)
    torch.testing.assert_close(loss, torch.tensor(bounded))
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs[0][0].grad is not None


def test_the_gradient_is_bounded_where_a_skip_is_almost_nothing() -> None:
    layer = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    for size in (0.0, 1e-12, 1e-6, 1e-3, 1.0):
        skip = (size * torch.linspace(-1, 2, 50).repeat(2, 1)).requires_grad_()
        bounded_pearson(layer, skip).sum().backward()  # type: ignore[no-untyped-call]
        centred = layer - layer.mean(-1, keepdim=True)
        assert skip.grad is not None
        assert (skip.grad.norm(dim=-1) <= 10.01 / centred.norm(dim=-1)).all()


def test_skips_that_help_grow_in_150_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    voxels, layer = (torch.randn(24, n, generator=generator) for n in (40, 32))
    target = layer + nn.functional.gelu(voxels @ torch.randn(40, 32, generator=generator) / 12)
    sizes = {}
    for weight in (0.0, 1.5):
        torch.manual_seed(0)
        skip = SkipLora(40, 32, rank=8, alpha=8.0)
        optimizer = torch.optim.AdamW(skip.parameters(), lr=3e-4)
        for _ in range(150):
            optimizer.zero_grad()
            added = skip(voxels)
            loss = 30 * (layer + added - target).square().mean()
            (loss + weight * skip_loss([(layer, added)])).backward()
            optimizer.step()
        sizes[weight] = float(skip.lora.A.detach().norm())
    assert sizes[1.5] > 0.5 * sizes[0.0] > 0.2, sizes


def test_new_adapters_change_nothing_and_train_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Sequential(nn.Linear(6, 2)))
    values = torch.randn(3, 4)
    before = module(values)
    use_lora(module, rank=2, alpha=2.0)
    torch.testing.assert_close(module(values), before)
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert trained == {f"{place}.lora.{name}" for place in ("0", "2.0") for name in "AB"}
