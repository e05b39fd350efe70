"""The Python interface: use results without Snakemake; `config/python.md` has examples.

>>> import brainit
>>> results = brainit.load("results/demo")  # doctest: +SKIP
>>> betas, nsd_id = results.test_betas("subj01")  # doctest: +SKIP
>>> results.reconstructor("subj01")(betas, nsd_id)["fused"].shape  # doctest: +SKIP
(100, 64, 64, 3)
"""

from brainit.api import metrics
from brainit.api.models import open_decoder, open_encoder, predict_features, predict_responses
from brainit.api.published_models import PublishedModels, load_models
from brainit.api.reconstructor import Reconstructor
from brainit.api.results import Results, load
from brainit.data.recons import Recons
from brainit.data.recons import read_recons as open_reconstructions
from brainit.maps.export import MapChoice, export_maps

__all__ = [
    "MapChoice",
    "PublishedModels",
    "Recons",
    "Reconstructor",
    "Results",
    "export_maps",
    "load",
    "load_models",
    "metrics",
    "open_decoder",
    "open_encoder",
    "open_reconstructions",
    "predict_features",
    "predict_responses",
]
