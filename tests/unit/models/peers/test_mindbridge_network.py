"""MindBridge's networks and loss: golden values and plain loops."""

import math
from pathlib import Path

import torch
from tests.unit.models.peers.golden_peers import CLOSE, read, weights
from torch import Tensor

from brainit.models.peers.mindbridge_network import MindBridge, cycled, normalised, pooled
from brainit.training.peers.losses import BridgeTerms, bridge_loss


def golden_network(golden_dir: Path) -> tuple[dict[str, Tensor], MindBridge]:
    golden = read(golden_dir, "mindbridge")
    sizes = {"n_bins": 14, "width": 12, "n_blocks": 2, "bottleneck": 5}
    network = MindBridge(["1", "2"], **sizes, outputs={"image": 12, "text": 8})  # type: ignore[arg-type]
    state = {k.replace("head_", "heads."): v for k, v in weights(golden, "").items()}
    network.load_state_dict(state)
    return golden, network.eval()


@torch.no_grad()
def test_golden_predictions(golden_dir: Path) -> None:
    golden, network = golden_network(golden_dir)
    for name in "abc":
        found = pooled(golden[f"pool/{name}.betas"], 14)
        torch.testing.assert_close(found, golden[f"pool/{name}.pooled"], **CLOSE)
    embedded = {name: network.embed(name, golden[f"subject{name}.pooled"]) for name in "12"}
    for name, points in embedded.items():
        torch.testing.assert_close(points, golden[f"subject{name}.embedded"], **CLOSE)
        rebuilt = network.build(name, points)
        torch.testing.assert_close(rebuilt, golden[f"subject{name}.rebuilt"], **CLOSE)
    both = torch.cat(list(embedded.values()))
    torch.testing.assert_close(network.translate(both), golden["translated"], **CLOSE)
    for head in ("image", "text"):
        found = network.predict(both, head)
        torch.testing.assert_close(found, golden[f"predicted_{head}"], **CLOSE)


@torch.no_grad()
def test_golden_loss(golden_dir: Path) -> None:
    golden, network = golden_network(golden_dir)
    network = network.double()
    names = ("1", "2")
    betas = torch.cat([golden[f"subject{name}.pooled"] for name in names]).double()
    points = [network.embed(n, golden[f"subject{n}.pooled"].double()) for n in names]
    rebuilt = torch.cat([network.build(n, p) for n, p in zip(names, points, strict=True)])
    features = {
        head: (
            normalised(network.predict(torch.cat(points), head)),
            normalised(golden[f"target_{head}"].double()),
        )
        for head in ("image", "text")
    }
    terms = BridgeTerms(features, (betas, rebuilt), (points[0], cycled(network, points[0], "2")))
    for name, value in bridge_loss(terms).items():
        torch.testing.assert_close(value, golden[f"loss/{name}"], **CLOSE)


def test_pooling_in_plain_loops() -> None:
    for n_voxels in (9, 14, 37):
        betas = torch.randn(2, n_voxels)
        bins = [
            range(math.floor(i * n_voxels / 14), math.ceil((i + 1) * n_voxels / 14))
            for i in range(14)
        ]
        expected = torch.stack([betas[:, list(chosen)].amax(1) for chosen in bins], dim=1)
        assert torch.equal(pooled(betas, 14), expected)


def test_the_new_bottleneck_changes_nothing() -> None:
    network = MindBridge(["1"], n_bins=7, width=4, n_blocks=1, bottleneck=3, outputs={"image": 2})
    values = torch.randn(3, 7)
    first = network.embedder["1"][0]  # type: ignore[index]
    assert torch.equal(first(values), values)
