"""Predict features of a subject's test images by a peer, in the files of ridge's predictions.

Everything behind them (generator, scores, tables) treats peers and ridge alike.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import load_subject_fmri
from brainit.models.baselines.predictions import Predictions
from brainit.models.brain_decoder import counts_of
from brainit.models.decoders import load_decoder_of, load_peer
from brainit.workflow.runs import CONTRASTIVE, STAGE1

OWN = (STAGE1, CONTRASTIVE)
"""Brain-IT's BITs, of the full run and of the ablation with a contrastive head."""

RETRIEVAL = "retrieval"
"""Kind of the features by which responses retrieve images."""


@dataclass(frozen=True)
class PeerJob:
    """Which subject's test images, by which peer."""

    peer: str
    """name of the decoder: mindeye2, lora_skip, mindbridge, or stage1 or contrastive for a BIT"""
    subject: str
    """name of the subject, such as subj01"""
    duration: str
    """part of the subject's data that the decoder saw"""
    betas: Path
    """its betas"""
    trials: Path
    """its trial table"""
    bit: Path
    """decoder that train_peer or adapt_peer wrote"""


@torch.no_grad()
def predict_by_peer(job: PeerJob, settings: Settings) -> tuple[Predictions, Predictions]:
    """Return the predicted tokens and the retrieval features of all test images of the subject.

    Responses to an image are averaged first; without `nsd.average_test_repeats` each is decoded and
    its tokens and features are averaged, as a BIT's are, so for MindEye2 samples of its prior.
    Raises `PipelineError` where the decoder is another one, of other settings or another network,
    or does not know the subject's voxels.
    """
    decoder: Any
    if job.peer in OWN:
        decoder = load_decoder_of(job.bit, settings, "semantic")
    else:
        decoder = load_peer(job.bit, job.peer)
        decoder.require_settings(job.bit, settings, "semantic")
    average = settings.nsd.average_test_repeats
    test = load_subject_fmri(job.subject, job.betas, job.trials, ("test",), "40h", average)
    known = counts_of(decoder.subjects)
    if known.get(job.subject) != test.n_voxels:
        raise PipelineError(
            job.bit,
            f"a decoder of {job.subject} with {test.n_voxels} voxels",
            f"a decoder of {known}",
            "rerun the training of this decoder on these betas",
            code="inconsistent-inputs",
        )
    device = run_device(settings)
    decoder.to(device)
    parts: dict[str, list[Any]] = {"semantic": [], RETRIEVAL: []}
    images, batch = np.unique(test.nsd_id), settings.recon.batch
    for start in range(0, len(images), batch):
        own = [np.flatnonzero(test.nsd_id == image) for image in images[start : start + batch]]
        counts = [len(rows) for rows in own]
        betas = torch.from_numpy(test.betas[np.concatenate(own)].astype(np.float32)).to(device)
        raw = decoder.predict_tokens(job.subject, betas)
        tokens = _averaged(raw, counts)
        if job.peer in OWN:
            if decoder.calibration is not None:
                tokens = decoder.calibration.apply(tokens)
            features = tokens
            if decoder.model.projector is not None:
                features = _averaged(decoder.model.retrieval_features(raw), counts)
        else:
            features = _averaged(decoder.retrieval_features(job.subject, betas), counts)
        parts["semantic"].append(_half(tokens))
        parts[RETRIEVAL].append(_half(features))
    attributes = {
        "subject": job.subject,
        "network": settings.features.semantic_tokens,
        "duration": job.duration,
        "seed": settings.run.seed,
        "peer": job.peer,
        "n_parameters": sum(p.numel() for p in decoder.model.parameters()),
    }
    tokens_of, features_of = (
        Predictions(images, np.concatenate(values), {**attributes, "kind": kind})
        for kind, values in parts.items()
    )
    return tokens_of, features_of


def _averaged(values: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """Return the mean of each image's rows, of which there are `counts`."""
    if max(counts) == 1:
        return values
    return torch.stack([group.mean(0) for group in torch.split(values, counts)])


def _half(values: torch.Tensor) -> Any:
    """Return values in the files' precision, so that no array of float32 holds all images."""
    return values.float().cpu().numpy().astype(np.float16)
