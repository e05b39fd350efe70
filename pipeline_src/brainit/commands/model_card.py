"""The model card of exported models: what they are, where from, on what terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainit.core.files import sha256_of
from brainit.data.nsd.addresses import CITATIONS, TERMS
from brainit.features.registry import find_entry

_HEAD = """\
---
license: other
tags: [fmri, brain-decoding, image-reconstruction]
---
# Brain-IT models: {subjects}

Models that reconstruct seen images from fMRI, trained by an independent implementation of Brain-IT
(Beliy, Zalcher et al., ICLR 2026, arXiv 2510.25976). They are not the authors' models.

{data}

| file | bytes | seed | SHA-256 |
| --- | --- | --- | --- |
"""
_TAIL = """
## Use

    snakemake results/{subject}/recon_40h --cores 8 \\
        --configfile FOLDER/config.yaml --config models=FOLDER

All files are safetensors: tensors and a JSON header, no code. The models know the voxels of these
subjects in the mask that `config.yaml` names, and no others; a new subject is adapted to them.

## Terms

{terms}
The licence above is `other`: set it once you have checked these.
"""
_REAL = "Trained on the Natural Scenes Dataset."
_SIMULATED = "Trained on a **simulation**: no human data. They say nothing about any brain."


def model_card(folder: Path, headers: Mapping[str, Mapping[str, Any]], *, simulated: bool) -> str:
    """Return the card, in Markdown, of the model files below `folder` with these attributes."""
    encoder = headers["encoder/encoder.safetensors"]
    subjects = list(encoder["subjects"])
    rows = [
        f"| `{name}` | {(folder / name).stat().st_size:,} | {header['seed']}"
        f" | `{sha256_of(folder / name)}` |\n"
        for name, header in headers.items()
    ]
    generator = find_entry(headers["joint/generator.safetensors"]["name"], "generator")
    terms = [f"- Generator: fine-tuned from `{generator.name}`, licence {generator.licence}."]
    if not simulated:
        terms += [f"- Data: NSD, terms at {TERMS}; cite {'; '.join(CITATIONS)}."]
    head = _HEAD.format(subjects=", ".join(subjects), data=_SIMULATED if simulated else _REAL)
    tail = _TAIL.format(subject=subjects[0], terms="\n".join(terms) + "\n")
    return head + "".join(rows) + tail
