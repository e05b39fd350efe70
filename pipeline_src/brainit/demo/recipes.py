"""Recipes of the demo's networks; train them and write the files to ship.

Each network has `<name>.safetensors` (float16), `<name>.json` (architecture, recipe, minutes) and
`<name>.curve.csv` (training curve).
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from brainit.core.artifacts import write_table
from brainit.core.files import write_text
from brainit.demo import generator as demo_generator
from brainit.demo.backbones import (
    ARCHITECTURES,
    Curve,
    Recipe,
    train_openclip,
    train_resnet,
    train_vgg,
    train_vit,
)
from brainit.demo.scenes import SceneSet, make_scenes
from brainit.features.registry import load_backbone
from brainit.features.semantic_tokens import SemanticTokens
from brainit.features.weights_file import freeze, save_network

logger = logging.getLogger(__name__)

N_SCENES = 24_000
N_METRIC_SCENES = 12_000
_METRIC_SEED_OFFSET = 1
_N_STREAMS = 2

RECIPES: dict[str, dict[str, Any]] = {
    "demo_vgg_bn": {"steps": 2000, "batch": 64, "lr": 3.0e-3},
    "demo_openclip": {"steps": 1100, "batch": 128, "lr": 2.0e-3},
    "demo_vit": {"steps": 1200, "batch": 64, "lr": 1.5e-3},
    "demo_resnet": {"steps": 1000, "batch": 64, "lr": 3.0e-3},
    "demo_unclip": {
        "vae": {"steps": 1200, "batch": 16, "lr": 2.5e-3},
        "unet": {"steps": 1000, "batch": 32, "lr": 1.5e-3},
        "unet_blurred": {"steps": 6000, "batch": 32, "lr": 1.2e-3},
    },
}

_TRAINERS: dict[str, Callable[[SceneSet, Recipe], tuple[nn.Module, Curve]]] = {
    "demo_vgg_bn": train_vgg,
    "demo_openclip": train_openclip,
    "demo_vit": train_vit,
    "demo_resnet": train_resnet,
}


def train_networks(out: Path, seed: int, names: Sequence[str]) -> None:
    """Train the networks `names` and write them to `out`.

    The generator is conditioned on the shipped `demo_openclip`, so train that first. The metric
    network, which scores, has scenes and a seed of its own.
    """
    for name in names:
        is_metric = name == "demo_resnet"
        own_seed = seed + _METRIC_SEED_OFFSET if is_metric else seed
        scenes = backbone_scenes(N_METRIC_SCENES if is_metric else N_SCENES, own_seed)
        started = time.monotonic()
        if name == "demo_unclip":
            network, curve = train_generator(scenes, own_seed)
            architecture = demo_generator.ARCHITECTURE
        else:
            network, curve = _TRAINERS[name](scenes, Recipe(**RECIPES[name], seed=own_seed))
            architecture = ARCHITECTURES[name]
        minutes = (time.monotonic() - started) / 60
        ship(out, name, network, architecture, curve, own_seed, len(scenes), minutes)


@lru_cache(maxsize=1)
def backbone_scenes(n_scenes: int, seed: int) -> SceneSet:
    """Return the scenes on which the networks are trained, from their own random streams."""
    parts = [make_scenes(n_scenes // _N_STREAMS, seed, f"train_{k}") for k in range(_N_STREAMS)]
    fields = [asdict(part) for part in parts]
    return SceneSet(**{key: np.concatenate([f[key] for f in fields]) for key in fields[0]})


def train_generator(scenes: SceneSet, seed: int) -> tuple[nn.Module, Curve]:
    """Train VAE, then U-Net, and keep the U-Net's moving average; return all curves joined."""
    recipe = RECIPES["demo_unclip"]
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    generator = demo_generator.build_untrained(seed)
    curve = demo_generator.train_vae(generator, scenes, Recipe(**recipe["vae"], seed=seed))
    freeze(generator.vae)
    latents, tokens = demo_generator.cache_inputs(generator, network, scenes)
    blur = demo_generator.TokenBlur(tokens)
    curves = [curve]
    for part in ("unet", "unet_blurred"):
        part_recipe = Recipe(**recipe[part], seed=seed)
        average, curve = demo_generator.train_unet(
            generator, latents, tokens, part_recipe, part, None if part == "unet" else blur
        )
        generator.unet.load_state_dict(average)
        curves.append(curve)
    joined = [{**row, "part": part} for part, rows in enumerate(curves) for row in rows]
    return generator, joined


def ship(
    out: Path,
    name: str,
    network: nn.Module,
    architecture: dict[str, Any],
    curve: Curve,
    seed: int,
    n_scenes: int,
    minutes: float,
) -> None:
    """Write weights, card and training curve of one network to `out`."""
    vae = getattr(network, "vae", None)
    if vae is not None:
        scale = float(vae.config.scaling_factor)
        architecture = {**architecture, "vae": {**architecture["vae"], "scaling_factor": scale}}
    save_network(out / f"{name}.safetensors", network, architecture)
    write_table(out / f"{name}.curve.csv", pd.DataFrame(curve))
    card = {
        "architecture": architecture,
        "recipe": RECIPES[name],
        "seed": seed,
        "n_scenes": n_scenes,
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
        "trained_on": "simulated scenes, disjoint from every subject's stimuli",
    }
    write_text(out / f"{name}.json", json.dumps(card, indent=2) + "\n")
    logger.info("%s: written after %.1f min", name, minutes)
