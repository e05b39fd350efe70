"""All settings: one strict class per section; defaults are the paper's values.

The JSON schema that the Snakefile validates is generated from these classes (`brainit schema`).
Sources: P = paper, C = released code; conflicts between them are switches, with the default that
the project's reference names.
"""

import json
from typing import Any

from pydantic import ValidationError

from brainit.core.errors import PipelineError
from brainit.core.settings.base import Section
from brainit.core.settings.data import (
    FeatureSettings,
    ImageSettings,
    LabSettings,
    ModelsSettings,
    NsdSettings,
    SimulationSettings,
)
from brainit.core.settings.models import (
    AblationSettings,
    BitSettings,
    ClusterSettings,
    DipSettings,
    EncoderSettings,
    EvaluationSettings,
    JointSettings,
    LowlevelSettings,
    ReconSettings,
    SeedSettings,
    Stage1Settings,
    SynthesisSettings,
    TransferSettings,
)
from brainit.core.settings.run import PathSettings, RunSettings

__all__ = [
    "AblationSettings",
    "BitSettings",
    "ClusterSettings",
    "DipSettings",
    "EncoderSettings",
    "EvaluationSettings",
    "FeatureSettings",
    "ImageSettings",
    "JointSettings",
    "LabSettings",
    "LowlevelSettings",
    "ModelsSettings",
    "NsdSettings",
    "PathSettings",
    "ReconSettings",
    "SeedSettings",
    "RunSettings",
    "Settings",
    "SimulationSettings",
    "Stage1Settings",
    "SynthesisSettings",
    "TransferSettings",
    "json_schema",
    "parse_sections",
]


class Settings(Section):
    """Every section."""

    run: RunSettings = RunSettings()
    paths: PathSettings = PathSettings()
    nsd: NsdSettings = NsdSettings()
    lab: LabSettings = LabSettings()
    models: ModelsSettings = ModelsSettings()
    simulation: SimulationSettings = SimulationSettings()
    images: ImageSettings = ImageSettings()
    features: FeatureSettings = FeatureSettings()
    encoder: EncoderSettings = EncoderSettings()
    clusters: ClusterSettings = ClusterSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    bit: BitSettings = BitSettings()
    bit_lowlevel: LowlevelSettings = LowlevelSettings()
    bit_semantic: Stage1Settings = Stage1Settings()
    joint: JointSettings = JointSettings()
    transfer: TransferSettings = TransferSettings()
    dip: DipSettings = DipSettings()
    recon: ReconSettings = ReconSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    ablations: AblationSettings = AblationSettings()
    seeds: SeedSettings = SeedSettings()


def parse_sections(sections: dict[str, Any]) -> Settings:
    """Check a dictionary of sections; a section that is not given has the paper's values.

    Raises `PipelineError` that names every faulty key at once.
    """
    if not isinstance(sections, dict):
        raise PipelineError(
            "settings", "a mapping of sections", type(sections).__name__, "see config/config.yaml"
        )
    try:
        return Settings.model_validate_json(json.dumps(sections))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']} (found {e['input']!r})"
            for e in error.errors()
        )
        raise PipelineError(
            "settings", "known keys with valid values", faults, "correct the config file"
        ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
