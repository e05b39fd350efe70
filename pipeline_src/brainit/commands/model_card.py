"""Model card of exported models: content, origin, use and terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainit.core.files import sha256_of
from brainit.features.registry import find_entry
from brainit.workflow.terms import CITATIONS, TERMS

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

All files are safetensors: tensors and a JSON header, no code. The models decode only these
subjects, with the voxels of the mask in `config.yaml`; other subjects need adaptation.

## Terms

{terms}
The licence above is `other`: check these terms, then set it.
"""
_REAL = "Trained on the Natural Scenes Dataset."
_SIMULATED = "Trained on a **simulation**, not on human data: no conclusion about brains holds."


def model_card(
    folder: Path, attributes: Mapping[str, Mapping[str, Any]], *, simulated: bool
) -> str:
    """Return the model card (Markdown) of the files in `folder`, given their attributes by name."""
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
    head = _HEAD.format(subjects=", ".join(subjects), data=_SIMULATED if simulated else _REAL)
    tail = _TAIL.format(subject=subjects[0], terms="\n".join(terms) + "\n")
    return head + "".join(rows) + tail
