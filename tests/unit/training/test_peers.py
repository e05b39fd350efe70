"""Trainings of the peers: they learn, transfer trains what each rule says, batches are right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused
from tests.small_peers import N_VOXELS, fmri, settings, spec, task, tokens
from tests.small_trainings import write_data

from brainit.core.seeds import torch_generator
from brainit.core.settings import Settings
from brainit.models.decoders import new_peer
from brainit.training.examples import DrawnExamples
from brainit.training.inputs import BitOutput, ImageFiles, PoolData, TokenFiles
from brainit.training.peers.mindbridge import MindbridgeTask, freeze_for, set_token_norm
from brainit.training.peers.mindeye2 import Mindeye2Task, copied
from brainit.training.peers.run import PeerInputs, run_train_peer
from brainit.training.peers.task import train_peer, without_repeats
from brainit.training.resume import EpochPosition


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.mark.parametrize("peer", ["mindeye2", "mindbridge"])
def test_a_peer_learns_a_few_examples(peer: str, data: Path) -> None:
    options = settings(
        mindeye2={"epochs": 20, "width": 32, "mixed_share": 0.0},
        mindbridge={"epochs": 20, "width": 32},
    )
    own = task(peer, data, options)
    history = train_peer(own, 0.01, 0.0)
    losses = history["train_loss"].to_numpy()
    assert losses[-1] < 0.7 * losses[0], losses
    assert history["lr"].iloc[-1] < 1e-5 and np.isfinite(history["val_loss"]).all()


def test_an_image_is_in_a_batch_once() -> None:
    rows = np.array([[0, 0, 0, 7], [0, 0, 1, 8], [0, 0, 2, 7], [1, 0, 0, 8], [1, 0, 1, 9]])
    kept = without_repeats(DrawnExamples(rows, None)).rows
    assert kept[:, 3].tolist() == [7, 8, 9] and kept[:, 0].tolist() == [0, 0, 1]


def test_transfer_of_mindeye2_copies_all_but_the_subject_layer() -> None:
    options = settings()
    base = new_peer("mindeye2", spec(options)).model
    for has_bias in (False, True):
        own = new_peer("mindeye2", spec(options, subj05=7)).model
        fresh = own.ridge.linears[0].bias.clone()
        copied(own, base, has_bias)
        expected = base.ridge.linears[0].bias if has_bias else fresh
        assert torch.equal(own.ridge.linears[0].bias, expected)
        for part in ("backbone", "prior"):
            state = getattr(own, part).state_dict()
            for name, tensor in getattr(base, part).state_dict().items():
                assert torch.equal(state[name], tensor)


def test_lora_skip_trains_adapters_and_the_subject_layer_alone() -> None:
    options = settings()
    base = new_peer("mindeye2", spec(options)).model
    own = new_peer("lora_skip", spec(options, subj05=7)).model
    copied(own, base, False)
    own.adapt()
    trained = {k for k, p in own.named_parameters() if p.requires_grad}
    assert all(
        name.startswith(("ridge.", "skips.", "token_skip.")) or ".lora." in name for name in trained
    )
    assert any(".lora." in name and "mixer_blocks1" in name for name in trained)
    assert not any(name.startswith("prior") for name in trained)


def test_mindbridge_trains_the_new_embedder_and_builder_alone(data: Path) -> None:
    options = settings()
    base = new_peer("mindbridge", spec(options, subj02=9)).model
    own = new_peer("mindbridge", spec(options)).model
    freeze_for(own, base, "subj01")
    trained = {k for k, p in own.named_parameters() if p.requires_grad}
    assert trained == {k for k, _ in own.named_parameters() if ".subj01." in k}
    for name, tensor in base.state_dict().items():
        assert torch.equal(own.state_dict()[name], tensor)


def test_batches_of_a_transfer_hold_the_new_subject_and_one_other(data: Path) -> None:
    own = task("mindbridge", data, settings(), new_subject=0)
    assert isinstance(own, MindbridgeTask)
    position = EpochPosition(own.draws(0))
    batches = list(own.batches(position))
    assert len(batches) == own.n_batches() == 2
    for batch in batches:
        starts = [group.voxels.start for group in batch.examples.groups]
        assert starts == [0, 12] and batch.of_loss == (1, 0)


@pytest.mark.parametrize("peer", ["mindeye2", "mindbridge"])
def test_examples_seen_are_those_of_the_batches(peer: str, data: Path) -> None:
    """Both subjects saw the same images, so some batches are shorter than the setting."""
    own = task(peer, data, settings(), new_subject=0 if peer == "mindbridge" else None)
    lengths = [sum(map(len, own.batches(EpochPosition(own.draws(epoch))))) for epoch in range(6)]
    assert lengths == [own.n_seen(epoch) for epoch in range(6)]
    assert min(lengths) < own.n_batches() * own.batch


def test_tokens_get_the_norm_of_true_ones(data: Path) -> None:
    own = task("mindbridge", data, settings())
    assert isinstance(own, MindbridgeTask)
    set_token_norm(own)
    true = tokens(data)
    norms = [
        np.linalg.norm(true.rows(np.array([i])).astype(np.float32))
        for subject in N_VOXELS
        for i in fmri(subject).nsd_id
    ]
    predicted = own.model.eval()(torch.randn(2, 12), slice(0, 12))
    expected = torch.full((2,), float(np.mean(norms)))
    torch.testing.assert_close(predicted.flatten(1).norm(dim=1), expected, rtol=1e-3, atol=1e-3)


def test_partners_are_of_the_same_subject(data: Path) -> None:
    own = task("mindeye2", data, settings())
    draws = torch_generator(0, "x")
    rows = np.array([[0, 0, k, k] for k in range(4)] + [[1, 0, k, 5 + k] for k in range(3)])
    drawn = own.draw_for_loss(DrawnExamples(rows, None), draws)
    assert [len(mixing.partner) for mixing in drawn.mixings] == [4, 3]
    assert sorted(drawn.mixings[1].partner.tolist()) == [0, 1, 2]


def test_mixing_and_temperatures_over_150_epochs_are_those_of_the_release(
    data: Path, golden_dir: Path
) -> None:
    """BiMixCo in epochs 0 to 48, then SoftCLIP's 101 temperatures."""
    own = task(
        "mindeye2",
        data,
        settings(mindeye2={"epochs": 150, "mixed_share": Settings().mindeye2.mixed_share}),
    )
    rows = DrawnExamples(np.array([[0, 0, 0, 1], [0, 0, 1, 2]]), None)
    is_mixed = []
    for epoch in range(150):
        draws = own.draws(epoch)
        is_mixed.append(own.draw_for_loss(rows, draws).mixings is not None)
    assert is_mixed == [True] * 49 + [False] * 101
    assert isinstance(own, Mindeye2Task)
    with np.load(golden_dir / "peers_mindeye2_losses.npz") as golden:
        found = [own.temperature(epoch) for epoch in range(49, 150)]
        np.testing.assert_allclose(found, golden["temperatures"], rtol=1e-5)


def test_unknown_peers_are_refused(tmp_path: Path) -> None:
    for name in ("lora_skip", "brainformer"):
        with refused("unknown-name", name, "mindeye2", "mindbridge"):
            run_train_peer(
                PeerInputs(name),
                PoolData({}, {}, "40h"),
                ImageFiles(tmp_path),
                TokenFiles(),
                settings(),
                BitOutput(tmp_path / "bit", tmp_path / "history"),
            )
