"""The Python door: use what the pipeline made without Snakemake.

>>> from brainit import api
>>> run = api.open_reconstructions("results/subj01/recon_1h")  # doctest: +SKIP
>>> run.images["fused"].shape  # doctest: +SKIP
(1000, 256, 256, 3)
"""

from brainit.api.models import open_bit, open_encoder, predict_features, predict_responses
from brainit.data.recons import Recons
from brainit.data.recons import read_recons as open_reconstructions

__all__ = [
    "Recons",
    "open_bit",
    "open_encoder",
    "open_reconstructions",
    "predict_features",
    "predict_responses",
]
