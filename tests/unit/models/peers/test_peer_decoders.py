"""Peers behind the interface of decoders: their files, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.refusals import refused
from tests.small_peers import N_TOKENS, N_VOXELS, WIDTH, settings, spec

from brainit.core.decoders import PEERS
from brainit.models.brain_decoder import Decoder
from brainit.models.decoders import load_peer, new_peer
from brainit.models.peers.lora_skip import LoraSkip
from brainit.workflow import runs


def made(name: str, **sections: dict[str, object]) -> Any:
    counts = {"subj02": 9} if name == "lora_skip" else N_VOXELS
    decoder = new_peer(name, spec(settings(**sections), **counts))
    if isinstance(decoder.model, LoraSkip):
        decoder.model.adapt()
    decoder.model.eval()
    return decoder


def test_the_workflow_knows_the_registered_peers() -> None:
    assert tuple(PEERS) == runs.PEERS == tuple(runs.BASES)


@pytest.mark.parametrize("residual", ["released", "drawn"])
@pytest.mark.parametrize("name", PEERS)
@torch.no_grad()
def test_a_file_holds_all_of_a_peer(name: str, residual: str, tmp_path: Path) -> None:
    options = {"mindeye2": {"residual": residual}}
    decoder, path = made(name, **options), tmp_path / "bit.safetensors"
    assert isinstance(decoder, Decoder) and decoder.name == name
    for parameter in decoder.model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    decoder.save(path, seed=settings(**options).run.seed)
    found = load_peer(path, name)
    found.require_settings(path, settings(**options), "semantic")
    betas = torch.randn(3, 9)
    tokens = decoder.predict_tokens("subj02", betas)
    assert tokens.shape == (3, N_TOKENS, WIDTH)
    assert torch.equal(found.predict_tokens("subj02", betas), tokens)
    features = decoder.retrieval_features("subj02", betas)
    assert torch.equal(found.retrieval_features("subj02", betas), features)
    alone = decoder.predict_tokens("subj02", betas[1:2])
    torch.testing.assert_close(alone[0], tokens[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_the_seed_alone_draws_a_peer(name: str) -> None:
    one, two = (made(name).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", PEERS)
def test_what_a_peer_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    decoder, path = made(name), tmp_path / "bit.safetensors"
    decoder.save(path, seed=0)
    with refused("inconsistent-inputs", "subj05"):
        decoder.predict_tokens("subj05", torch.ones(1, 9))
    with refused("inconsistent-inputs", "subj02 with 8 voxels"):
        decoder.predict_tokens("subj02", torch.ones(1, 8))
    with refused("unknown-name", name, "lowlevel"):
        decoder.require_settings(path, settings(), "lowlevel")
    with refused("unknown-name", name, "lowlevel"):
        new_peer(name, spec(settings(), "lowlevel"))
    other: dict[str, dict[str, object]] = {
        "mindbridge" if name == "mindbridge" else "mindeye2": {"width": 9}
    }
    with refused("wrong-settings", str(path), "width 9", "width 8"):
        decoder.require_settings(path, settings(**other), "semantic")
    network: dict[str, object] = {"semantic_tokens": "open_clip_bigG"}
    with refused("wrong-settings", str(path), "demo_openclip"):
        decoder.require_settings(path, settings(features=network), "semantic")
    with refused("wrong-kind", str(path)):
        load_peer(path, "mindbridge" if name != "mindbridge" else "mindeye2")
