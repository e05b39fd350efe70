"""The contrastive term beside the semantic BIT's L2: plain loops, off by default, a training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused
from tests.unit.training.tiny_examples import N_VOXELS, bit, fmri
from torch.nn import functional as F

from brainit.core.artifacts import Artifact
from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import BitSettings, SemanticSettings, Settings, TransferSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.features.registry import load_backbone
from brainit.models.brain_decoder import DecoderSpec
from brainit.models.brain_transformer import BitDecoder, BrainInteractionTransformer, load_bit
from brainit.models.decoders import new_decoder
from brainit.training.contrast import contrastive_loss, image_shares, require_projector
from brainit.training.examples import BatchImages, ExampleBatch, ExampleSource
from brainit.training.loader import Slot
from brainit.training.loop import LoopPlan, fit
from brainit.training.stage1 import Stage1Batch, Stage1Task, adapt_bit
from brainit.training.targets import SemanticTargets
from brainit.training.transfer import new_subject_bit

CPU = torch.device("cpu")
SIZES = BitSettings(width=16, n_heads=2, n_blocks=1)


def decoder(kind: str = "semantic", **changes: float) -> BitDecoder:
    clusters = Artifact({"voxel_cluster": np.arange(21) % 4}, {"n_clusters": 4})
    settings = Settings(bit=SIZES, bit_semantic=SemanticSettings(batch=4, **changes))
    made = new_decoder(DecoderSpec(kind, N_VOXELS, clusters, 64, 96, settings))
    assert isinstance(made, BitDecoder)
    return made


def task_of(
    source: ExampleSource, images: BatchImages, model: BrainInteractionTransformer, **changes: float
) -> Stage1Task:
    targets = SemanticTargets(images, load_backbone("semantic_tokens", "demo_openclip"), {})
    settings = SemanticSettings(batch=4, voxels_per_example=6, **changes)
    return Stage1Task(model, source, None, targets, settings, 0, CPU)


def some_batch(task: Stage1Task, n: int = 6) -> Stage1Batch:
    drawn = next(task.train.draws(n, torch.Generator().manual_seed(2), None))
    return task.read(task.train, task.drawn(drawn, torch_generator(0, "x")), Slot())


def test_the_term_is_a_symmetric_infonce_in_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    features, true = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    image, is_external = np.array([7, 8, 7, 7, 9]), np.array([False, False, False, True, False])
    shares = image_shares(ExampleBatch([], image, is_external))
    assert shares[0].tolist() == [0.5, 0.0, 0.5, 0.0, 0.0]
    assert shares[3].tolist() == [0.0, 0.0, 0.0, 1.0, 0.0], "an external image of the same number"

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        pairs = [(float(x), float(y)) for x, y in zip(a.flatten(), b.flatten(), strict=True)]
        dot, one = sum(x * y for x, y in pairs), sum(x * x for x, _ in pairs)
        return dot / (one**0.5 * sum(y * y for _, y in pairs) ** 0.5)

    logits = [[cosine(features[i], true[j]) / 0.05 for j in range(5)] for i in range(5)]
    total = 0.0
    for i in range(5):
        same = [j for j in range(5) if (image[i], is_external[i]) == (image[j], is_external[j])]
        for way in ([logits[i][j] for j in range(5)], [logits[j][i] for j in range(5)]):
            normaliser = np.log(sum(np.exp(value) for value in way))
            total += 0.5 * sum((normaliser - way[j]) / len(same) for j in same)
    found = contrastive_loss(features, true, shares, 0.05)
    assert found.item() == pytest.approx(total / 5, rel=1e-5)


def test_without_repeats_it_is_the_cross_entropy_of_the_diagonal() -> None:
    features, true = torch.randn(2, 6, 2, 8, generator=torch.Generator().manual_seed(1))
    shares = image_shares(ExampleBatch([], np.arange(6), np.zeros(6, dtype=bool)))
    assert torch.equal(shares, torch.eye(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = contrastive_loss(features, true, shares, 0.006)
    a, b = (F.normalize(v.flatten(1), dim=-1) for v in (features, true))
    logits, own = a @ b.T / 0.006, torch.arange(6)
    wanted = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(found, wanted)
    assert found.dtype == torch.float32


def test_weight_zero_is_the_bit_of_before(source: ExampleSource, images: BatchImages) -> None:
    """No further parameters, the same drawn ones, the same loss and draws."""
    assert SemanticSettings().contrastive_weight == 0.0
    plain, contrastive = decoder().model, decoder(contrastive_weight=0.5).model
    assert (
        plain.projector is None
        and decoder("lowlevel", contrastive_weight=0.5).model.projector is None
    )
    state = contrastive.state_dict()
    assert {n for n in state if n not in plain.state_dict()} == {
        n for n in state if n.startswith("projector.")
    }
    for name, value in plain.state_dict().items():
        assert torch.equal(value, state[name]), name
    task = task_of(source, images, plain, queries_per_example=5)
    plain.train()
    batch = some_batch(task)
    assert batch.positions is not None and len({tuple(p) for p in batch.positions[0].tolist()}) > 1
    predicted = plain.decode(
        plain.tokenize_mixed(batch.examples.groups_on(CPU)), batch.positions[0]
    )
    true = task.targets.of(batch.examples, CPU)
    assert isinstance(true, torch.Tensor)
    true = true.gather(1, batch.positions[0][..., None].expand(-1, -1, 96))
    assert torch.equal(task.loss(batch), F.mse_loss(predicted, true))


@pytest.mark.parametrize("n_queries", [None, 5])
def test_the_loss_is_l2_and_the_weighted_term(
    n_queries: int | None, source: ExampleSource, images: BatchImages
) -> None:
    model = decoder(contrastive_weight=0.5).model
    changes = {} if n_queries is None else {"queries_per_example": n_queries}
    task = task_of(source, images, model, contrastive_weight=0.5, **changes)
    model.train()
    batch = some_batch(task)
    positions = torch.arange(64).expand(6, -1) if batch.positions is None else batch.positions[0]
    assert len({tuple(p) for p in positions.tolist()}) == 1, "of the same tokens"
    predicted = model.decode(model.tokenize_mixed(batch.examples.groups_on(CPU)), positions)
    true = task.targets.of(batch.examples, CPU)
    assert isinstance(true, torch.Tensor) and model.projector is not None
    true = true[:, positions[0]]
    shares = image_shares(batch.examples)
    term = contrastive_loss(model.projector(predicted), true, shares, 0.006)
    wanted = F.mse_loss(predicted, true) + 0.5 * term
    torch.testing.assert_close(task.loss(batch), wanted, rtol=1e-5, atol=1e-6)
    model.eval()
    everything = model.decode(model.tokenize_mixed(batch.examples.groups_on(CPU)))
    whole = some_batch(task)
    found = task.loss(whole)
    torch.testing.assert_close(found, F.mse_loss(everything, task.targets.of(whole.examples, CPU)))


def test_a_tiny_training_makes_the_features_find_their_images(
    source: ExampleSource, images: BatchImages, tmp_path: Path
) -> None:
    with seeded_init(3, "bit"):
        made = decoder(contrastive_weight=0.1)
    task = task_of(source, images, made.model, contrastive_weight=0.1)
    task.train = ExampleSource({"subj01": fmri("subj01", 4, 0)}, {}, source.voxels)
    rng = np.random.default_rng(0)
    write_shards(tmp_path / "tokens", iter([rng.normal(size=(9, 64, 96)).astype(np.float16)]))
    task.targets = SemanticTargets(images, None, {False: ShardedArray(tmp_path / "tokens")})

    def found() -> tuple[float, float]:
        examples = some_batch(task, 4).examples
        made.model.eval()
        with torch.no_grad():
            tokens = made.model(examples.groups[0].betas.float(), slice(0, 12))
            features = made.model.retrieval_features(tokens)
            true = task.targets.of(examples, CPU)
            assert isinstance(true, torch.Tensor)
            term = contrastive_loss(features, true, torch.eye(4), 0.006)
        return float(term), float(F.mse_loss(tokens, true))

    before = found()
    fit(list(made.model.parameters()), task, LoopPlan(80, 1e-2), "test")
    after = found()
    assert after[0] < 0.1 * before[0] and after[1] < before[1]
    made.save(tmp_path / "bit.safetensors", 0)
    again = load_bit(tmp_path / "bit.safetensors")
    assert again.model.projector is not None
    betas, tokens = torch.randn(2, 12), torch.randn(2, 64, 96)
    assert torch.equal(again.model(betas, slice(0, 12)), made.model.eval()(betas, slice(0, 12)))
    assert torch.equal(
        again.model.retrieval_features(tokens), made.model.retrieval_features(tokens)
    )
    require_projector(tmp_path / "bit.safetensors", again)


def test_a_new_subject_shares_the_projector_and_trains_voxels_alone(
    source: ExampleSource, images: BatchImages
) -> None:
    base = decoder(contrastive_weight=0.1).model
    tensors = {"voxel_cluster": np.arange(9) % 4, "nearest_voxel": np.arange(9)}
    model = new_subject_bit(base, Artifact(tensors, {}), Path("clusters"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shared = {name for name in before if name.startswith("projector.")}
    assert shared and all(torch.equal(before[n], base.state_dict()[n]) for n in shared)
    own = ExampleSource({"subj02": fmri("subj02", 4, 5)}, {}, {"subj02": slice(0, 9)})
    task = task_of(own, images, model, contrastive_weight=0.1)
    adapt_bit(task, model, TransferSettings(epochs=2))
    after = model.state_dict()
    assert {n for n in after if not torch.equal(after[n], before[n])} == {"voxel_embedding"}


def test_a_bit_without_projector_cannot_be_adapted_with_the_term(tmp_path: Path) -> None:
    with refused("wrong-settings", "bit.safetensors", "contrastive_weight"):
        require_projector(tmp_path / "bit.safetensors", decoder())


def test_without_projector_the_features_are_the_tokens() -> None:
    tokens = torch.randn(2, 5, 7)
    assert bit(5, 7).retrieval_features(tokens) is tokens
