"""Model card of exported models: content, origin, use and terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from brainit.core.files import sha256_of
from brainit.features.registry import find_entry
from brainit.workflow.terms import CITATIONS, TERMS

_HEAD = """\
---
{metadata}---
# Brain-IT models: {subjects}

Models that reconstruct seen images from fMRI, trained by an independent implementation of Brain-IT
(Beliy, Zalcher et al., ICLR 2026, arXiv 2510.25976). They are not the authors' models.

{data}

| file | bytes | seed | SHA-256 |
| --- | --- | --- | --- |
"""
_TAIL = """
{scores}## Use

    import brainit
    models = brainit.load_models("USER/NAME")             # or a folder
    images = models.reconstructor("{subject}")(betas)      # betas: z-scored (images, voxels)

In the workflow:

    snakemake results/{subject}/recon_40h --cores 8 \\
        --configfile FOLDER/config.yaml --config models=FOLDER

All files are safetensors: tensors and a JSON header, no code. The models decode only these
subjects, with the voxels of the mask in `config.yaml`; other subjects need adaptation.

## Terms

{terms}
The licence above is `other`: check these terms, then set it.
"""
_REAL = "Trained on the Natural Scenes Dataset."
_SIMULATED = "Trained on a **simulation**, not on human data: no conclusion about brains holds."


BASE_MODELS = {"unclip6": ["stabilityai/stable-diffusion-xl-base-1.0"]}
"""Models on the hub from which a generator was fine-tuned."""


def model_card(
    folder: Path,
    attributes: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, pd.DataFrame],
    *,
    simulated: bool,
) -> str:
    """Return the model card (Markdown) of the files in `folder`, given their attributes by name.

    `scores` are mean scores by subject, with an interval over images.
    """
    encoder = attributes["encoder/encoder.safetensors"]
    subjects = list(encoder["subjects"])
    rows = [
        f"| `{name}` | {(folder / name).stat().st_size:,} | {header['seed']}"
        f" | `{sha256_of(folder / name)}` |\n"
        for name, header in attributes.items()
    ]
    generator = find_entry(attributes["joint/generator.safetensors"]["name"], "generator")
    terms = [f"- Generator: fine-tuned from `{generator.name}`, licence {generator.licence}."]
    if not simulated:
        terms += [f"- Data: NSD, terms at {TERMS}; cite {'; '.join(CITATIONS)}."]
    metadata = card_metadata(generator.name, scores, simulated=simulated)
    head = _HEAD.format(
        metadata=yaml.safe_dump(metadata, sort_keys=False),
        subjects=", ".join(subjects),
        data=_SIMULATED if simulated else _REAL,
    )
    text = "\n".join(terms) + "\n"
    tail = _TAIL.format(subject=subjects[0], terms=text, scores=_score_table(scores))
    return head + "".join(rows) + tail


def card_metadata(
    generator: str, scores: Mapping[str, pd.DataFrame], *, simulated: bool
) -> dict[str, Any]:
    """Return the card's metadata as the hub reads them, with the scores of each subject."""
    data = "simulated-nsd" if simulated else "natural-scenes-dataset"
    base = BASE_MODELS.get(generator)
    names = dict.fromkeys(str(name) for table in scores.values() for name in table["metric"])
    results = [
        {
            "task": {"type": "image-reconstruction", "name": "Seen images from fMRI"},
            "dataset": {"type": data, "name": f"{data}, {subject}, test images"},
            "metrics": [
                {"type": str(row["metric"]), "value": round(float(row["mean"]), 4)}
                for _, row in table.dropna(subset=["mean"]).iterrows()
            ],
        }
        for subject, table in scores.items()
    ]
    index = [{"name": "Brain-IT, 40 h", "results": results}] if results else []
    return {
        "library_name": "brainit",
        "license": "other",
        "tags": ["fmri", "brain-decoding", "image-reconstruction"],
        "datasets": [data],
        **({"base_model": base} if base else {}),
        **({"metrics": list(names), "model-index": index} if index else {}),
    }


def _score_table(scores: Mapping[str, pd.DataFrame]) -> str:
    """Return the scores as a Markdown section; empty without any."""
    if not scores:
        return ""
    lines = ["## Scores", "", "Fused images, all sessions; 95 % interval over test images.", ""]
    lines += ["| subject | metric | mean | interval | images |", "| --- | --- | --- | --- | --- |"]
    for subject, table in scores.items():
        for _, row in table.iterrows():
            interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
            cells = (subject, row["metric"], f"{row['mean']:.3f}", interval, row["n_images"])
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n\n"
