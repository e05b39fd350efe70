"""`brainit export-models FOLDER`: the trained models of a pool as a folder to publish.

It holds the models' files, `config.yaml` with the settings that decoding must share with them, and
a model card. `models: FOLDER` reads it again.
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
from brainit.models.brain_transformer import load_bit

logger = logging.getLogger(__name__)

FILES = {
    "encoder/encoder.safetensors": "encoder",
    "clusters/clusters.safetensors": "clusters",
    "bit_lowlevel/bit.safetensors": "bit",
    "bit_semantic/bit.safetensors": "bit",
    "joint/bit.safetensors": "bit",
    "joint/generator.safetensors": "generator",
}
"""The models of a pool below its folder, and their contracts (config/models.md)."""

_SHARED = ("features", "encoder", "clusters", "bit")
_SHARED_OF_NSD = ("betas_version", "space", "mask", "zscore", "average_test_repeats")


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("export-models", help="trained models as a folder to publish")
    parser.add_argument("folder", type=Path, help="folder to write; must not exist")
    parser.add_argument("--models", type=Path, help="folder of the pool (default: pool all's)")
    parser.add_argument("--configfile", nargs="*", type=Path, default=[], help="as for snakemake")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder and say what it holds; raises `PipelineError` for models that misfit."""
    settings = read_configuration([Path("config/config.yaml"), *args.configfile])
    models = args.models or Path(settings.paths.results) / "group" / "all" / "main"
    export_models(models, args.folder, settings)
    logger.info("%s: %d models, config.yaml, README.md", args.folder, len(FILES))


def export_models(models: Path, folder: Path, settings: Settings) -> None:
    """Copy the pool's models into `folder`, checked, with settings and a model card.

    The folder appears whole or not at all. Raises `PipelineError` where it exists, a model is
    missing or breaks its contract, or the models are not of the same subjects.
    """
    if folder.exists():
        raise PipelineError(folder, "a folder to be made", "something there", "name another one")
    headers = read_headers(models)
    with atomic_path(folder) as partial:
        for name in FILES:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(models / name, partial / name)
        text = yaml.safe_dump(shared_settings(settings), sort_keys=False)
        head = (
            "# Settings that decoding with these models must share; name them with --configfile.\n"
        )
        (partial / "config.yaml").write_text(head + text, encoding="utf-8")
        card = model_card(partial, headers, simulated=settings.run.simulation)
        (partial / "README.md").write_text(card, encoding="utf-8")


def read_headers(models: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of each model file of a pool, checked against its contract.

    Raises `PipelineError` where one is missing or faulty, or is of other subjects or voxels than
    the first.
    """
    headers: dict[str, dict[str, Any]] = {}
    for name, contract in FILES.items():
        headers[name] = read_artifact(models / name, contract).attributes
        if contract == "bit":
            load_bit(models / name)
    first = next(iter(headers.values()))
    for name, header in headers.items():
        for key in ("subjects", "n_voxels") if "subjects" in header else ():
            if header[key] != first[key]:
                fix = "rerun its training on the models before it"
                raise PipelineError(models / name, f"{key} {first[key]}", f"{header[key]}", fix)
    return headers


def shared_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that decoding shares with these models; nobody's terms or paths."""
    values = settings.model_dump(mode="json")
    nsd = {key: values["nsd"][key] for key in _SHARED_OF_NSD}
    return {"nsd": nsd, **{name: values[name] for name in _SHARED}}
