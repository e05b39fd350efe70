"""LoRA and Skip-LoRA: golden values, plain sums, and which weights they train."""

from pathlib import Path

import torch
from tests.unit.models.peers.golden_peers import CLOSE, read
from torch import nn

from brainit.models.peers.adapters import LoraLinear, SkipLora, pearson, skip_loss, use_lora


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
    torch.testing.assert_close(skip_loss([(out, added)]), golden["skip_loss"], **CLOSE)


def test_loss_in_plain_loops_and_its_gradient() -> None:
    outputs = [(torch.randn(3, 5).requires_grad_(), torch.randn(3, 5)) for _ in range(2)]
    total = 0.0
    for layer, skip in outputs:
        for one, other in zip(layer.detach(), skip, strict=True):
            total += abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) / 6
    loss = skip_loss(outputs)
    torch.testing.assert_close(loss, torch.tensor(total))
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs[0][0].grad is not None
    assert not skip_loss(outputs, has_gradient=False).requires_grad


def test_new_adapters_change_nothing_and_train_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Sequential(nn.Linear(6, 2)))
    values = torch.randn(3, 4)
    before = module(values)
    use_lora(module, rank=2, alpha=2.0)
    torch.testing.assert_close(module(values), before)
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert trained == {f"{place}.lora.{name}" for place in ("0", "2.0") for name in "AB"}
