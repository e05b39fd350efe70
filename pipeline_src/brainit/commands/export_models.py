"""`brainit export-models FOLDER`: copy the trained models of a pool into a folder to publish.

The folder holds the model files, `config.yaml` with the settings that decoding must share with
them, and a model card. Set `models: FOLDER` to decode with it.
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from brainit.commands.model_card import model_card
from brainit.commands.plan.contents import read_configuration
from brainit.core.artifacts import read_artifact, read_table
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.settings import Settings
from brainit.models.brain_transformer import BitDecoder, load_bit
from brainit.models.published import CARD_FILE, FILES, SETTINGS_FILE

logger = logging.getLogger(__name__)

_SHARED = ("features", "encoder", "clusters", "bit", "dip")
_SHARED_OF_NSD = ("betas_version", "space", "mask", "zscore", "average_test_repeats")
_OF_THE_RUN = ("max_images", "batch", "n_shards")
"""Settings of `recon` that choose images and jobs; the others decide the images' bytes."""


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
    results = Path(settings.paths.results)
    export_models(args.models or results / "group/all/main", args.folder, settings, results)
    logger.info("%s: %d models, config.yaml, README.md", args.folder, len(FILES))


def export_models(
    models: Path, folder: Path, settings: Settings, results: Path | None = None
) -> None:
    """Check the models of a pool and copy them into `folder`, with settings and a model card.

    The card has the scores of the subjects' run 40h in `results`, where there are any. The folder
    is written atomically. Raises `PipelineError` where it exists, a model is missing or breaks its
    contract, or the models have different subjects.
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
        (partial / SETTINGS_FILE).write_text(head + text, encoding="utf-8")
        scores = read_scores(results, attributes["encoder/encoder.safetensors"]["subjects"])
        card = model_card(partial, attributes, scores, simulated=settings.run.simulation)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")


def read_scores(results: Path | None, subjects: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the mean scores of the fused images of run 40h, by subject; none where not scored."""
    paths = {s: (results or Path()) / s / "metrics" / "40h_fused_summary.csv" for s in subjects}
    columns = ("metric", "mean", "ci_low", "ci_high", "n_images")
    return {
        subject: read_table(path, columns, "evaluate")
        for subject, path in paths.items()
        if results is not None and path.is_file()
    }


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
    recon = {key: value for key, value in values["recon"].items() if key not in _OF_THE_RUN}
    return {"nsd": nsd, **{name: values[name] for name in _SHARED}, "recon": recon}
