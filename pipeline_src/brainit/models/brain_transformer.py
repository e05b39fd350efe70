"""The Brain Interaction Transformer, BIT (section 4, figure 2), and its file.

Voxel responses become one token per functional cluster, shared by all subjects; learned query
tokens, one per output feature, read them. Two BITs of this class exist: semantic (image tokens)
and low-level (VGG tokens). They share only the map from voxels to clusters (V2C).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from brainit.core.artifacts import Contract, TensorSpec, read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import BitSettings, Settings
from brainit.models.brain_decoder import (
    DecoderSpec,
    NetworkDecoder,
    SubjectBatch,
    TokenNetwork,
    counts_of,
    stored_tensors,
)
from brainit.models.brain_tokenizer import (
    BrainTokenizer,
    VoxelGroups,
    embedding_init,
    group_voxels,
)
from brainit.models.cross_transformer import CrossTransformer
from brainit.models.peers.mindeye2_network import token_projector
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.models.token_calibration import Calibration, take_calibration

_LAYOUTS_KEPT = 16
"""Layouts of voxels kept by a model: nearly all batches hold examples of all subjects."""


class BrainInteractionTransformer(TokenNetwork):
    """Predict image features from the responses of any known subject's voxels.

    Parameters
    ----------
    voxel_cluster
        Cluster of every voxel, subjects one after the other; 0 .. n_clusters - 1.
    n_clusters
        Functional clusters (paper: 128).
    n_queries
        Output features (paper: 256 semantic, 7190 low-level).
    out_width
        Width of an output feature (paper: 1664 semantic, 512 low-level).
    width, n_heads, n_blocks
        Paper: 512, 8 and 5.
    has_projector
        A projector of predicted tokens to retrieval features (not in P).

    Raises
    ------
    PipelineError
        A cluster is out of range, or `width` is no multiple of `n_heads`.
    """

    voxel_cluster: Tensor

    def __init__(
        self,
        *,
        voxel_cluster: Int[Tensor, "voxels"],
        n_clusters: int,
        n_queries: int,
        out_width: int,
        width: int,
        n_heads: int,
        n_blocks: int,
        has_projector: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(voxel_cluster, n_clusters, width, n_heads)
        self.n_clusters, self.n_queries, self.out_width = n_clusters, n_queries, out_width
        self.width, self.n_heads, self.n_blocks = width, n_heads, n_blocks
        self.register_buffer("voxel_cluster", voxel_cluster.to(torch.int64).clone())
        self.voxel_embedding = nn.Parameter(embedding_init(len(voxel_cluster), width))
        self.query_tokens = nn.Parameter(embedding_init(n_queries, width))
        self.tokenizer = BrainTokenizer(n_clusters, width)
        self.transformer = CrossTransformer(width, n_heads, n_blocks)
        self.head = nn.Linear(width, out_width)
        self.projector = token_projector(out_width) if has_projector else None
        self.read_rows: Callable[[Tensor, Sequence[slice]], Tensor] = rows_of
        self._groups: dict[tuple[Any, ...], VoxelGroups] = {}
        self.register_load_state_dict_post_hook(_forget_groups)  # type: ignore[no-untyped-call]

    def tokenize(
        self,
        betas: Float[Tensor, "batch subject_voxels"],
        voxels: slice,
        keep: Bool[Tensor, "batch subject_voxels"] | None = None,
    ) -> Float[Tensor, "batch clusters width"]:
        """Return the brain tokens of examples of one subject (section 4).

        `betas` are z-scored responses in the order of the subject's voxels, which are `voxels` of
        the model's. `keep` marks the voxels given per example; None gives all.
        """
        _require_voxels(betas, voxels)
        groups = self._grouping([voxels])
        return self.tokenizer(betas, self.voxel_embedding[voxels], groups, keep)

    def tokenize_mixed(
        self, groups: Sequence[SubjectBatch]
    ) -> Float[Tensor, "batch clusters width"]:
        """Return the brain tokens of several subjects' examples, groups one after the other.

        As `tokenize` of each, all subjects at once.
        """
        for group in groups:
            _require_voxels(group.betas, group.voxels)
        voxels = [group.voxels for group in groups]
        return self.tokenizer.mixed(
            [group.betas for group in groups],
            [group.keep for group in groups],
            self.read_rows(self.voxel_embedding, voxels),
            self._grouping(voxels),
        )

    def decode(
        self,
        brain_tokens: Float[Tensor, "batch clusters width"],
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return the features that the queries `query_index` predict; None asks all in order."""
        queries = self._queries(len(brain_tokens), query_index)
        return self.head(self.transformer(queries, brain_tokens))

    def forward(
        self,
        betas: Float[Tensor, "batch subject_voxels"],
        voxels: slice,
        keep: Bool[Tensor, "batch subject_voxels"] | None = None,
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return predicted features of examples of one subject; see `tokenize` and `decode`."""
        return self.decode(self.tokenize(betas, voxels, keep), query_index)

    def retrieval_features(
        self, tokens: Float[Tensor, "batch queries out"]
    ) -> Float[Tensor, "batch queries out"]:
        """Return the features by which predicted tokens retrieve: projected, if the BIT can."""
        return tokens if self.projector is None else self.projector(tokens)

    def cross_attention(
        self, brain_tokens: Float[Tensor, "batch clusters width"]
    ) -> Float[Tensor, "blocks batch heads queries clusters"]:
        """Return the weights with which all queries read the clusters, in every cross block."""
        return self.transformer.attention(self._queries(len(brain_tokens), None), brain_tokens)

    def _queries(self, n_batch: int, query_index: Tensor | None) -> Tensor:
        if query_index is None:
            return self.query_tokens.expand(n_batch, -1, -1)
        return nn.functional.embedding(query_index, self.query_tokens)

    def _grouping(self, subjects: Sequence[slice]) -> VoxelGroups:
        """Return the layout of some subjects' voxels, kept for the next batch of the same ones."""
        key = (*((voxels.start, voxels.stop) for voxels in subjects), self.voxel_cluster.device)
        if key not in self._groups:
            if len(self._groups) >= _LAYOUTS_KEPT:
                self._groups.clear()
            with torch.inference_mode(False):
                clusters = [
                    self.voxel_cluster[voxels] + k * self.n_clusters
                    for k, voxels in enumerate(subjects)
                ]
                n_clusters = len(subjects) * self.n_clusters
                self._groups[key] = group_voxels(torch.cat(clusters), n_clusters)
        return self._groups[key]


def _forget_groups(model: nn.Module, _: Any) -> None:
    """Drop the layouts of the V2C map that the model had before it was loaded."""
    assert isinstance(model, BrainInteractionTransformer)
    model._groups.clear()


def _require_voxels(betas: Tensor, voxels: slice) -> None:
    n_voxels = voxels.stop - voxels.start
    if betas.shape[-1] != n_voxels:
        raise PipelineError(
            f"betas for voxels {voxels.start}:{voxels.stop}",
            f"{n_voxels} voxels",
            f"{betas.shape[-1]}",
            f"pass betas of {n_voxels} voxels, or the BIT trained on these betas",
            code="inconsistent-inputs",
        )


def rows_of(table: Tensor, slices: Sequence[slice]) -> Tensor:
    """Return the rows of the slices one after the other; the whole table itself if they are it."""
    ends = [0, *(rows.stop for rows in slices)]
    if ends[-1] == len(table) and all(
        rows.start == end for rows, end in zip(slices, ends, strict=False)
    ):
        return table
    return torch.cat([table[rows] for rows in slices])


def _check_sizes(voxel_cluster: Tensor, n_clusters: int, width: int, n_heads: int) -> None:
    low, high = int(voxel_cluster.min()), int(voxel_cluster.max())
    if low < 0 or high >= n_clusters:
        raise PipelineError(
            "V2C map",
            f"clusters 0..{n_clusters - 1}",
            f"clusters {low}..{high}",
            "rerun cluster_voxels with the same clusters.n_clusters",
            code="bad-values",
        )
    if width % n_heads:
        raise PipelineError(
            "settings bit",
            "a width that is a multiple of n_heads",
            f"width {width}, n_heads {n_heads}",
            "set bit.width to a multiple of bit.n_heads",
            code="invalid-setting",
        )


KINDS = ("lowlevel", "semantic")


@dataclass
class BitDecoder(NetworkDecoder):
    """A BIT of one kind ("lowlevel" or "semantic"), and each subject's voxels in it."""

    name: ClassVar[str] = "bit"
    contract: ClassVar[Contract] = Contract(
        {
            "voxel_embedding": TensorSpec("float32", ("voxels", "width")),
            "voxel_cluster": TensorSpec("int64", ("voxels",)),
        },
        ("subjects", "n_voxels", "settings", "kind", "seed", "n_queries", "out_width"),
        free_tensors=True,
        made_by="train_bit, train_joint, adapt_bit or adapt_joint",
    )

    model: BrainInteractionTransformer
    subjects: dict[str, slice]
    kind: str
    calibration: Calibration | None = None

    @classmethod
    def new(cls, spec: DecoderSpec) -> "BitDecoder":
        """Return an untrained BIT over the V2C map of `spec`; see `Decoder`."""
        sizes = spec.settings.bit
        model = BrainInteractionTransformer(
            voxel_cluster=torch.from_numpy(spec.clusters["voxel_cluster"]),
            n_clusters=int(spec.clusters.attributes["n_clusters"]),
            n_queries=spec.n_queries,
            out_width=spec.out_width,
            width=sizes.width,
            n_heads=sizes.n_heads,
            n_blocks=sizes.n_blocks,
            has_projector=spec.kind == "semantic"
            and spec.settings.bit_semantic.contrastive_weight > 0,
        )
        return cls(model, subject_slices(spec.subjects), spec.kind)

    @classmethod
    def load(cls, path: Path) -> "BitDecoder":
        """Read a BIT, on the CPU, in evaluation mode; see `Decoder`."""
        artifact = read_artifact(path, cls.name, cls.contract)
        attributes = artifact.attributes
        subjects = voxel_counts(path, attributes)
        state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
        calibration = take_calibration(state)
        try:
            model = BrainInteractionTransformer(
                voxel_cluster=state["voxel_cluster"],
                n_clusters=len(state["tokenizer.cluster_embedding"]),
                n_queries=attributes["n_queries"],
                out_width=attributes["out_width"],
                has_projector=any(name.startswith("projector.") for name in state),
                **attributes["settings"],
            )
            model.load_state_dict(state)
        except (KeyError, TypeError, RuntimeError) as error:
            raise _misfit(path, "weights that fit its settings", str(error)) from error
        if sum(subjects.values()) != len(model.voxel_cluster):
            raise _misfit(path, f"{len(model.voxel_cluster)} voxels", f"{subjects}")
        return cls(model.eval(), subject_slices(subjects), attributes["kind"], calibration)

    def require_settings(self, path: Path, settings: Settings, kind: str) -> None:
        """Check kind and sizes; see `Decoder`."""
        require_same_sizes(path, self, settings.bit, kind)

    def save(self, path: Path, seed: int) -> None:
        """Write the BIT, whole or not at all; raises `PipelineError` where its voxels misfit."""
        n_voxels, counts = len(self.model.voxel_cluster), counts_of(self.subjects)
        if sum(counts.values()) != n_voxels or self.kind not in KINDS:
            raise PipelineError(
                path,
                f"a BIT of kind {KINDS} with {n_voxels} voxels",
                f"{self.kind}, {counts}",
                f"save subjects whose voxels sum to {n_voxels}, those of its V2C map",
                code="inconsistent-inputs",
            )
        attributes = {
            "subjects": list(counts),
            "n_voxels": counts,
            "settings": _sizes_of(self.model),
            "kind": self.kind,
            "seed": seed,
            "n_queries": self.model.n_queries,
            "out_width": self.model.out_width,
        }
        tensors = stored_tensors(self.model, self.calibration)
        write_artifact(path, self.name, tensors, attributes, self.contract)


def save_bit(
    path: Path,
    model: BrainInteractionTransformer,
    *,
    subjects: Mapping[str, int],
    kind: str,
    settings: BitSettings,
    seed: int,
    calibration: Calibration | None = None,
) -> None:
    """Write a BIT of `kind` "lowlevel" or "semantic", whole or not at all.

    `subjects` gives the voxels of each subject in the order of the model's. Raises `PipelineError`
    where they do not add up to the model's voxels, or the model has other sizes than `settings`.
    """
    bit = BitDecoder(model, subject_slices(subjects), kind, calibration)
    require_same_sizes(path, bit, settings, kind)
    bit.save(path, seed)


def load_bit(path: Path) -> BitDecoder:
    """Read a BIT, on the CPU; raises `PipelineError` for any other file."""
    return BitDecoder.load(path)


def require_same_sizes(path: Path, bit: BitDecoder, settings: BitSettings, kind: str) -> None:
    """Raise `PipelineError` unless the BIT at `path` has this kind and the sizes in `settings`."""
    sizes = _sizes_of(bit.model)
    expected = {key: getattr(settings, key) for key in sizes}
    if bit.kind != kind or sizes != expected:
        raise PipelineError(
            path,
            f"a {kind} BIT of {expected}",
            f"a {bit.kind} BIT of {sizes}",
            "delete it and rerun its training, or restore the settings of `bit`",
            code="wrong-settings",
        )


def _sizes_of(model: BrainInteractionTransformer) -> dict[str, int]:
    return {"width": model.width, "n_heads": model.n_heads, "n_blocks": model.n_blocks}


def _misfit(path: Path, expected: str, found: str) -> PipelineError:
    return PipelineError(
        path,
        expected,
        found,
        "delete it and rerun the step that makes it",
        code="inconsistent-inputs",
    )
