"""Train a peer on a pool, and transfer it to a new subject by its own rule.

MindEye2 then trains all weights, with a fresh layer of the subject. `lora_skip` trains that layer
and adapters of a `mindeye2`. MindBridge trains the subject's embedder and builder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainit.core.artifacts import Artifact, write_table
from brainit.core.decoders import PEERS
from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import SubjectFmri, load_pool
from brainit.models.brain_decoder import DecoderSpec, counts_of
from brainit.models.decoders import load_peer, new_peer
from brainit.models.peers.lora_skip import LoraSkip
from brainit.models.subject_voxels import subject_slices
from brainit.training.examples import ExampleSource
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject, PoolData, TokenFiles
from brainit.training.loader import loading_of
from brainit.training.peers.mindbridge import MindbridgeTask, freeze_for, set_token_norm
from brainit.training.peers.mindeye2 import Mindeye2Task, copied
from brainit.training.peers.task import PeerTask, train_peer
from brainit.training.resume import Work, resumable
from brainit.training.targets import TARGET_ROLES, SemanticTargets, targets_of
from brainit.workflow.runs import BASES, FULL


@dataclass(frozen=True)
class PeerInputs:
    """Which peer is trained."""

    peer: str
    """name of the decoder: mindeye2 or mindbridge; lora_skip only for a new subject"""


@dataclass(frozen=True)
class AdaptPeerInputs:
    """Which peer is adapted, from which model, and the subjects that MindBridge cycles through."""

    peer: str
    """name of the decoder: mindeye2, lora_skip or mindbridge"""
    base: Path
    """decoder of the pool without the subject; lora_skip takes that of mindeye2"""
    source_betas: Mapping[str, Path] = field(default_factory=dict)
    """betas of the pool's subjects, for mindbridge"""
    source_trials: Mapping[str, Path] = field(default_factory=dict)
    """trial tables of the pool's subjects, for mindbridge"""


def run_train_peer(
    inputs: PeerInputs,
    data: PoolData,
    files: ImageFiles,
    tokens: TokenFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Train a peer on a pool and write it; `work` None keeps no checkpoints.

    Raises `PipelineError` for `lora_skip`, which only a new subject has, and for an unknown name.
    """
    if BASES.get(inputs.peer) != inputs.peer:
        raise _unknown(inputs.peer, [name for name, base in BASES.items() if name == base])
    device = run_device(settings)
    pool = data.load(settings)
    targets = _targets(data, files, tokens, settings)
    spec = DecoderSpec("semantic", pool.n_voxels, _NO_MAP, *targets.token_shape, settings)
    decoder = new_peer(inputs.peer, spec)
    train = ExampleSource(pool.train, {}, decoder.subjects)
    validation = ExampleSource(pool.val, {}, decoder.subjects)
    loading = loading_of(work, device)
    parts = {"model": decoder.model.to(device), "train": train, "validation": validation}
    parts |= {"targets": targets, "name": inputs.peer, "loading": loading}
    task = _task(inputs.peer, parts, settings, is_new=False)
    if isinstance(task, MindbridgeTask):
        set_token_norm(task)
    _fit_and_write(task, decoder, inputs, data, files, tokens, settings, out, work)


def run_adapt_peer(
    inputs: AdaptPeerInputs,
    new: NewSubject,
    files: ImageFiles,
    tokens: TokenFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None = None,
) -> None:
    """Transfer a peer to a new subject and write it; `work` None keeps no checkpoints.

    Single trials train it. Less than all data include the validation images', as in Brain-IT's
    transfer; all data do not, as for every other row of 40 h.
    Raises `PipelineError` for an unknown peer, a base of other sizes or another network, a subject
    that the base has seen, and pool subjects that MindBridge's base does not know.
    """
    if inputs.peer not in PEERS:
        raise _unknown(inputs.peer, list(PEERS))
    device = run_device(settings)
    base = load_peer(inputs.base, BASES[inputs.peer])
    base.require_settings(inputs.base, settings, "semantic")
    _require_new(inputs, base, new.subject)
    splits = ("train",) if new.duration == FULL.name else ("train", "val")
    source, fmri = new.load(settings, splits)
    targets = _targets(new, files, tokens, settings)
    _require_tokens(inputs.base, base.model, targets)
    others = _sources(inputs, base, settings) if inputs.peer == "mindbridge" else {}
    counts = {new.subject: fmri.n_voxels, **{n: f.n_voxels for n, f in others.items()}}
    spec = DecoderSpec("semantic", counts, _NO_MAP, *targets.token_shape, settings)
    decoder = new_peer(inputs.peer, spec)
    if inputs.peer == "mindbridge":
        freeze_for(decoder.model, base.model, new.subject)
    else:
        copied(decoder.model, base.model, settings.mindeye2.transfer_bias == "released")
    if isinstance(decoder.model, LoraSkip):
        decoder.model.adapt()
    real = {**source.real, **others}
    train = ExampleSource(real, {}, subject_slices(counts))
    parts = {"model": decoder.model.to(device), "train": train, "validation": None}
    parts |= {"targets": targets, "name": f"{inputs.peer} of {new.subject}"}
    parts["loading"] = loading_of(work, device)
    task = _task(inputs.peer, parts, settings, is_new=True)
    _fit_and_write(task, decoder, inputs, new, files, tokens, settings, out, work)


_NO_MAP = Artifact({}, {})
"""A peer has no V2C map."""


def _targets(
    data: PoolData | NewSubject, files: ImageFiles, tokens: TokenFiles, settings: Settings
) -> SemanticTargets:
    device = run_device(settings)
    found = targets_of("semantic", files.open(data), tokens, files.weights, settings, device)
    assert isinstance(found, SemanticTargets)
    return found


def _task(peer: str, parts: dict[str, Any], settings: Settings, *, is_new: bool) -> PeerTask:
    """Return the training task of a peer; `parts` are fields of `PeerTask`."""
    parts = {**parts, "seed": settings.run.seed, "device": run_device(settings)}
    if peer == "mindbridge":
        own = settings.mindbridge
        parts |= {"batch": own.batch, "n_epochs": own.transfer_epochs if is_new else own.epochs}
        return MindbridgeTask(**parts, settings=own, new_subject=0 if is_new else None)
    base = settings.mindeye2
    if peer == "lora_skip":
        adapters = settings.lora_skip
        parts |= {"batch": adapters.batch, "n_epochs": adapters.epochs, "adapters": adapters}
    else:
        n_epochs = base.transfer_epochs if is_new else base.epochs
        parts |= {"batch": base.batch, "n_epochs": n_epochs}
    return Mindeye2Task(**parts, settings=base)


def _fit_and_write(
    task: PeerTask,
    decoder: Any,
    inputs: PeerInputs | AdaptPeerInputs,
    data: PoolData | NewSubject,
    files: ImageFiles,
    tokens: TokenFiles,
    settings: Settings,
    out: BitOutput,
    work: Work | None,
) -> None:
    """Train the task, then write decoder and history."""
    is_bridge = inputs.peer == "mindbridge"
    decay = settings.mindbridge.weight_decay if is_bridge else settings.mindeye2.weight_decay
    rates: dict[str, Callable[[], float]] = {
        "mindeye2": lambda: settings.mindeye2.lr,
        "lora_skip": lambda: settings.lora_skip.lr,
        "mindbridge": lambda: settings.mindbridge.lr,
    }
    network = files.inputs(TARGET_ROLES["semantic"], settings)
    everything = {**vars(data), **network, **vars(tokens), **vars(inputs)}
    with resumable(work, settings, everything, out.history) as checkpoints:
        history = train_peer(task, rates[inputs.peer](), decay, checkpoints)
        decoder.save(out.bit, settings.run.seed)
        history["n_examples"] = [task.n_seen(epoch) for epoch in range(len(history))]
        history["n_trained"] = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
        history["n_parameters"] = sum(p.numel() for p in task.model.parameters())
        write_table(out.history, history)


def _sources(inputs: AdaptPeerInputs, base: Any, settings: Settings) -> dict[str, SubjectFmri]:
    """Return the training examples of the base's own subjects."""
    pool = load_pool(
        inputs.source_betas, inputs.source_trials, settings.nsd, "40h", settings.run.seed
    )
    known = counts_of(base.subjects)
    if pool.n_voxels != known:
        raise PipelineError(
            inputs.base,
            f"a decoder of the subjects and voxels {pool.n_voxels}",
            f"one of {known}",
            "pass the betas that it was trained on",
            code="inconsistent-inputs",
        )
    return dict(pool.train)


def _require_new(inputs: AdaptPeerInputs, base: Any, subject: str) -> None:
    """Raise `PipelineError` where the base, or what is cycled through, has the subject."""
    for place, seen in (
        (inputs.base, list(base.subjects)),
        ("--source-betas", list(inputs.source_betas)),
        ("--source-trials", list(inputs.source_trials)),
    ):
        if subject in seen:
            raise PipelineError(
                place,
                f"subjects other than the new one, {subject}",
                ", ".join(seen),
                f"transfer from a model of a pool without {subject}",
                code="inconsistent-inputs",
            )


def _require_tokens(path: Path, network: Any, targets: SemanticTargets) -> None:
    found = network.n_queries, network.out_width
    if found != targets.token_shape:
        raise PipelineError(
            path,
            f"a decoder of {targets.token_shape[0]} tokens of width {targets.token_shape[1]}",
            f"one of {found[0]} tokens of width {found[1]}",
            "delete it and train anew with these tokens",
            code="inconsistent-inputs",
        )


def _unknown(peer: str, known: list[str]) -> PipelineError:
    return PipelineError(
        "--peer",
        f"one of {', '.join(known)}",
        peer,
        f"write one of {', '.join(known)}",
        code="unknown-name",
    )
