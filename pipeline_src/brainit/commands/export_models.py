"""`brainit export-models FOLDER`: copy the trained models of a pool into a folder to publish.

The folder holds the model files, `config.yaml` with the settings that decoding must share with
them, and a model card. Set `models: FOLDER` to decode with it.
"""

import argparse
import logging
import shutil
from pathlib import Path
from typing import Any

import yaml

from brainit.commands.model_card import model_card
from brainit.commands.plan import read_configuration
from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.settings import Settings
from brainit.models.brain_transformer import BitDecoder, load_bit

logger = logging.getLogger(__name__)

FILES = {
    "encoder/encoder.safetensors": "encoder",
    "clusters/clusters.safetensors": "clusters",
    "bit_lowlevel/bit.safetensors": "bit",
    "bit_semantic/bit.safetensors": "bit",
    "joint/bit.safetensors": "bit",
    "joint/generator.safetensors": "generator",
}
"""Model files within the folder of a pool, and their kinds (config/models.md)."""

_SHARED = ("features", "encoder", "clusters", "bit")
_SHARED_OF_NSD = ("betas_version", "space", "mask", "zscore", "average_test_repeats")


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("export-models", help="copy trained models to a folder to publish")
    parser.add_argument("folder", type=Path, help="folder to write; must not exist")
    parser.add_argument("--models", type=Path, help="folder of the pool (default: pool all's)")
    parser.add_argument("--configfile", nargs="*", type=Path, default=[], help="as for snakemake")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder and log its content; raise `PipelineError` for inconsistent models."""
    settings = read_configuration([Path("config/config.yaml"), *args.configfile])
    models = args.models or Path(settings.paths.results) / "group" / "all" / "main"
    export_models(models, args.folder, settings)
    logger.info("%s: %d models, config.yaml, README.md", args.folder, len(FILES))


def export_models(models: Path, folder: Path, settings: Settings) -> None:
    """Check the models of a pool and copy them into `folder`, with settings and a model card.

    The folder is written atomically. Raises `PipelineError` where it exists, a model is missing or
    breaks its contract, or the models have different subjects.
    """
    if folder.exists():
        fix = f"remove {folder}, or give a folder that does not exist"
        raise PipelineError(folder, "a new folder", "an existing one", fix, code="invalid-argument")
    attributes = read_model_attributes(models)
    with atomic_path(folder) as partial:
        for name in FILES:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(models / name, partial / name)
        text = yaml.safe_dump(shared_settings(settings), sort_keys=False)
        head = "# Settings that decoding with these models must share: use as --configfile.\n"
        (partial / "config.yaml").write_text(head + text, encoding="utf-8")
        card = model_card(partial, attributes, simulated=settings.run.simulation)
        (partial / "README.md").write_text(card, encoding="utf-8")


def read_model_attributes(models: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of each model file of a pool, after checking its contract.

    Raises `PipelineError` where a file is missing or faulty, or has other subjects or voxels than
    the first.
    """
    attributes: dict[str, dict[str, Any]] = {}
    for name, kind in FILES.items():
        contract = BitDecoder.contract if kind == BitDecoder.name else None
        attributes[name] = read_artifact(models / name, kind, contract).attributes
        if contract:
            load_bit(models / name)
    first_name, first = next(iter(attributes.items()))
    for name, header in attributes.items():
        for key in ("subjects", "n_voxels") if "subjects" in header else ():
            if header[key] != first[key]:
                raise PipelineError(
                    models / name,
                    f"{key} {first[key]}, as in {first_name}",
                    f"{header[key]}",
                    f"delete {models / name} and train it again with the present {first_name}",
                    code="inconsistent-inputs",
                )
    return attributes


def shared_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that decoding must share with these models, without terms or paths."""
    values = settings.model_dump(mode="json")
    nsd = {key: values["nsd"][key] for key in _SHARED_OF_NSD}
    return {"nsd": nsd, **{name: values[name] for name in _SHARED}}
