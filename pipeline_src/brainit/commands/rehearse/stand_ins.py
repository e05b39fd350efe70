"""Stand-ins for the inputs of a step: true in width, few in number, without meaning.

Responses are normal numbers, images are noise, models are untrained ones of the configuration, and
networks have random weights. Each is written by the function that writes the real file.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from brainit.commands.dry_run import Job
from brainit.commands.plan.folders import cohort_of
from brainit.commands.plan.models import latent_shape, target_shape
from brainit.commands.plan.sizes import Sizes
from brainit.commands.rehearse.few_steps import Amounts
from brainit.commands.rehearse.layouts import NetworkSizes, write_random, write_weights
from brainit.core.artifacts import Artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.shards import write_shards
from brainit.data.nsd.published import published
from brainit.data.recons import write_recons
from brainit.data.trials import TRIAL_COLUMNS, write_trials
from brainit.data.voxels import write_voxels
from brainit.features.dinov2 import build_dinov2
from brainit.features.registry import find_entry, load_backbone
from brainit.features.token_cache import as_bytes
from brainit.features.unclip import build_parts
from brainit.models.brain_decoder import DecoderSpec
from brainit.models.decoders import new_decoder
from brainit.models.voxel_encoder import VoxelEncoder, save_encoder
from brainit.reconstruction.parts import Part, part_attributes, write_part
from brainit.workflow.runs import Pool

_POOL = re.compile(r"group/(?!images|tokens|latents|cohort)([\w-]+)/\w+")
_PARTS = re.compile(r"[^/]+")


@dataclass(frozen=True)
class StandIns:
    """Writes stand-ins under the settings of the run, for networks of `sizes`."""

    settings: Settings
    sizes: NetworkSizes

    @property
    def _numbers(self) -> np.random.Generator:
        return np.random.default_rng(self.settings.run.seed)

    def members(self, path: Path) -> dict[str, int]:
        """Return the voxels of each subject that a file is about: of its pool, or its own."""
        if found := _POOL.search(path.as_posix()):
            subjects = Pool.parse(found[1]).members(self.settings.nsd.subjects)
        else:
            parts = _PARTS.findall(path.with_suffix("").as_posix())
            known = {*cohort_of(self.settings), *published().subjects}
            subjects = [part for part in parts if part in known][-1:]
        counts = Sizes(self.settings)
        return {subject: counts.n_voxels(subject) for subject in subjects}

    def members_of(self, job: Job) -> dict[str, int]:
        """Return the voxels of each subject of a job; none for a job of none."""
        if pool := job.wildcard("pool"):
            return self.members(Path(f"group/{pool}/main/"))
        return self.members(Path(f"/{job.subject}/")) if job.subject else {}

    def write(self, path: Path, amounts: Amounts) -> None:
        """Write the stand-in of an input; raises `PipelineError` for a file that has none."""
        for pattern, writer in _WRITERS.items():
            if re.search(pattern, path.as_posix()):
                path.parent.mkdir(parents=True, exist_ok=True)
                writer(self, path, amounts)
                return
        raise PipelineError(
            path,
            "an input that a rehearsal can make",
            "none of its stand-ins",
            "leave the step out with --only, or add the input to brainit/commands/rehearse",
            code="unknown-name",
        )

    def betas(self, path: Path, amounts: Amounts) -> None:
        """Write z-scored responses, one trial of each image."""
        (n_voxels,) = self.members(path).values()
        n_trials = amounts.n_test + amounts.n_train + amounts.n_val
        np.save(path, self._numbers.standard_normal((n_trials, n_voxels), np.float32).astype("f2"))

    def trials(self, path: Path, amounts: Amounts) -> None:
        """Write a trial table; test images come first, and all lie in the first run."""
        counts = {"test": amounts.n_test, "train": amounts.n_train, "val": amounts.n_val}
        split = np.repeat(list(counts), list(counts.values()))
        number = np.arange(len(split))
        columns = {"trial": number, "trial_in_session": number, "nsd_id": number, "split": split}
        table = pd.DataFrame({**columns, "session": 1, "run": 1, "repeat": 0})
        write_trials(path, table.assign(is_shared=split == "test")[list(TRIAL_COLUMNS)])

    def voxels(self, path: Path, amounts: Amounts) -> None:
        """Write a voxel table."""
        ((subject, n),) = self.members(path).items()
        columns: dict[str, NDArray[Any]] = {
            "vertex": np.arange(n, dtype=np.int64),
            "hemisphere": (np.arange(n) % 2).astype(np.int64),
            "position_mm": self._numbers.standard_normal((n, 3)).astype(np.float32),
            "noise_ceiling": np.full(n, 30, np.float32),
        }
        nsd = self.settings.nsd
        write_voxels(path, subject, columns, nsd.space, nsd.mask)

    def stimuli(self, path: Path, amounts: Amounts) -> None:
        """Write the images of all trials."""
        self._images(path, amounts.n_test + amounts.n_train + amounts.n_val)

    def external(self, path: Path, amounts: Amounts) -> None:
        """Write the external images."""
        self._images(path, max(1, amounts.n_external))

    def _images(self, path: Path, n: int) -> None:
        side = self.settings.images.stored_size
        pixels = self._numbers.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        write_shards(path, iter([pixels]))

    def tokens(self, path: Path, amounts: Amounts) -> None:
        """Write cached semantic tokens, in the form of `features.token_bits`."""
        features = self.settings.features
        n_all = amounts.n_test + amounts.n_train + amounts.n_val
        n = max(1, amounts.n_external) if path.name == "external" else n_all
        shape = (n, *target_shape(features.semantic_tokens))
        values = self._numbers.standard_normal(shape, np.float32)
        is_bytes = features.token_bits == 8
        rows = as_bytes(torch.from_numpy(values)).numpy() if is_bytes else values.astype("f2")
        write_shards(path, iter([rows]), {"halve_contrast": features.halve_contrast})

    def latents(self, path: Path, amounts: Amounts) -> None:
        """Write cached latents."""
        name = self.settings.features.generator
        n_all = amounts.n_test + amounts.n_train + amounts.n_val
        n = max(1, amounts.n_external) if path.name == "external" else n_all
        rows = self._numbers.standard_normal((n, *latent_shape(name)), np.float32)
        write_shards(path, iter([rows.astype("f2")]), {"generator": name})

    def synthetic(self, path: Path, amounts: Amounts) -> None:
        """Write the predicted fMRI of a pool, or of one subject."""
        for subject, n_voxels in self.members(path).items():
            shape = (max(1, amounts.n_external), n_voxels)
            rows = self._numbers.standard_normal(shape, np.float32).astype(np.float16)
            attributes = {"subject": subject, "n_voxels": n_voxels}
            write_shards(path / subject, iter([rows]), attributes)

    def encoder(self, path: Path, amounts: Amounts) -> None:
        """Write an untrained encoder."""
        name, options = self.settings.features.encoder_backbone, self.settings.encoder
        backbone: nn.Module
        if find_entry(name).is_demo:
            backbone = load_backbone("encoder_backbone", name)
        else:
            with torch.device("meta"):
                backbone = build_dinov2(self.sizes.dinov2)
        encoder = VoxelEncoder(backbone, options, self.members(path))
        save_encoder(path, encoder, settings=options, backbone_name=name, pool="all", seed=0)

    def clusters(self, path: Path, amounts: Amounts) -> None:
        """Write a V2C map: clusters by turns, and for a new subject its nearest voxels by turns."""
        made = self._clusters(path)
        write_artifact(path, "clusters", made.tensors, made.attributes)

    def _clusters(self, path: Path) -> Artifact:
        counts, n = self.members(path), self.settings.clusters.n_clusters
        places = np.arange(sum(counts.values()), dtype=np.int64)
        tensors: dict[str, NDArray[Any]] = {"voxel_cluster": places % n}
        if not _POOL.search(path.as_posix()):
            tensors["nearest_voxel"] = places
        known = {"subjects": list(counts), "n_voxels": counts, "n_clusters": n}
        return Artifact(tensors, {**known, "method": "gmm", "seed": 0})

    def bit(self, path: Path, amounts: Amounts) -> None:
        """Write an untrained decoder of the kind that its folder names."""
        kind = "lowlevel" if path.parent.name == "bit_lowlevel" else "semantic"
        features = self.settings.features
        network = features.vgg if kind == "lowlevel" else features.semantic_tokens
        shape = target_shape(network)
        spec = DecoderSpec(kind, self.members(path), self._clusters(path), *shape, self.settings)
        new_decoder(spec).save(path, 0)

    def generator(self, path: Path, amounts: Amounts) -> None:
        """Write a U-Net of stage 2."""
        name = self.settings.features.generator
        if find_entry(name).is_demo:
            unet: Any = load_backbone("generator", name).unet
        else:
            with torch.device("meta"):
                unet, _ = build_parts(self.sizes.unclip)
        shapes = {key: tuple(value.shape) for key, value in unet.state_dict().items()}
        header = {"artifact": "generator", "name": name, "seed": 0}
        write_random(path, shapes, metadata={"brainit": json.dumps(header)})

    def lowlevel_part(self, path: Path, amounts: Amounts) -> None:
        """Write a shard of low-level images."""
        (subject,) = self.members(path)
        attributes = part_attributes(subject, "lowlevel", self.settings, {})
        write_part(path, Part(*self._recons(amounts, self.settings.dip.size), attributes))

    def recon(self, path: Path, amounts: Amounts) -> None:
        """Write the folder of a run's reconstructions."""
        nsd_id, images = self._recons(amounts, self.settings.images.stored_size)
        (subject,) = self.members(path)
        about = {"subject": subject, "run": path.name.removeprefix("recon_")}
        kinds = dict.fromkeys(("lowlevel", "semantic", "fused"), images)
        write_recons(path, nsd_id, kinds, Image.fromarray(images[0]), about)

    def _recons(self, amounts: Amounts, side: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        shape = (amounts.n_test, side, side, 3)
        pixels = self._numbers.integers(0, 256, shape, dtype=np.uint8)
        return np.arange(amounts.n_test, dtype=np.int64), pixels

    def weights(self, path: Path, amounts: Amounts) -> None:
        """Write a published network's weights."""
        write_weights(path, path.stem, self.sizes)


_WRITERS: Mapping[str, Callable[[StandIns, Path, Amounts], None]] = {
    r"/betas/betas\.npy$": StandIns.betas,
    r"/(design/trials|cohort/trials/[\w-]+)\.csv$": StandIns.trials,
    r"/betas/voxels\.safetensors$": StandIns.voxels,
    r"/images/stimuli$": StandIns.stimuli,
    r"/images/external$": StandIns.external,
    r"/tokens/(stimuli|external)$": StandIns.tokens,
    r"/latents/(stimuli|external)$": StandIns.latents,
    r"/synthetic_fmri$": StandIns.synthetic,
    r"/encoder/encoder\.safetensors$": StandIns.encoder,
    r"/clusters/clusters\.safetensors$": StandIns.clusters,
    r"/bit\.safetensors$": StandIns.bit,
    r"/generator\.safetensors$": StandIns.generator,
    r"_parts/lowlevel/shard_\d+\.safetensors$": StandIns.lowlevel_part,
    r"/recon_\w+$": StandIns.recon,
    r"/weights/\w+\.safetensors$": StandIns.weights,
}
"""The end of an input's path, and what writes its stand-in."""
