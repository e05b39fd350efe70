"""All settings: one strict class per section; defaults are those of paper or released code.

The JSON schema that the Snakefile validates is generated from these classes (`brainit schema`).
Sources: P = paper, C = released code; conflicts between them are switches, with the default that
the project's reference names.
"""

import json
from typing import Any

from pydantic import ValidationError, model_validator

from brainit.core.errors import PipelineError
from brainit.core.settings.base import Section, told_to
from brainit.core.settings.data import (
    CohortSettings,
    FeatureSettings,
    ImageSettings,
    LabSettings,
    ModelsSettings,
    NsdSettings,
    SimulationSettings,
)
from brainit.core.settings.models import (
    AblationSettings,
    BaselineSettings,
    BitSettings,
    BrainSearchSettings,
    ClusterSettings,
    DipSettings,
    EncoderSettings,
    EvaluationSettings,
    JointSettings,
    LowlevelSettings,
    ReconSettings,
    SeedSettings,
    SemanticSettings,
    Stage1Settings,
    SynthesisSettings,
    TransferSettings,
)
from brainit.core.settings.peers import (
    LoraSkipSettings,
    MindbridgeSettings,
    Mindeye2Settings,
    PeersSettings,
)
from brainit.core.settings.run import PathSettings, RunSettings
from brainit.workflow.cohort import unfit_for_host_states

__all__ = [
    "AblationSettings",
    "BaselineSettings",
    "BitSettings",
    "BrainSearchSettings",
    "ClusterSettings",
    "CohortSettings",
    "DipSettings",
    "EncoderSettings",
    "EvaluationSettings",
    "FeatureSettings",
    "ImageSettings",
    "JointSettings",
    "LabSettings",
    "LoraSkipSettings",
    "LowlevelSettings",
    "MindbridgeSettings",
    "Mindeye2Settings",
    "ModelsSettings",
    "NsdSettings",
    "PathSettings",
    "PeersSettings",
    "ReconSettings",
    "SeedSettings",
    "RunSettings",
    "SemanticSettings",
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
    cohort: CohortSettings = CohortSettings()
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
    bit_semantic: SemanticSettings = SemanticSettings()
    joint: JointSettings = JointSettings()
    transfer: TransferSettings = TransferSettings()
    dip: DipSettings = DipSettings()
    recon: ReconSettings = ReconSettings()
    brain_search: BrainSearchSettings = BrainSearchSettings()
    baselines: BaselineSettings = BaselineSettings()
    peers: PeersSettings = PeersSettings()
    mindeye2: Mindeye2Settings = Mindeye2Settings()
    lora_skip: LoraSkipSettings = LoraSkipSettings()
    mindbridge: MindbridgeSettings = MindbridgeSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    ablations: AblationSettings = AblationSettings()
    seeds: SeedSettings = SeedSettings()

    @model_validator(mode="after")
    def _check_embedding_states(self) -> "Settings":
        """Refuse the host's moments where a training has others; a step's defaults are fine."""
        sections = {
            name: getattr(self, name).model_dump()
            for name in ("cohort", "bit_lowlevel", "bit_semantic", "joint")
        }
        if unfit := unfit_for_host_states(sections):
            raise ValueError(
                f"cohort.embedding_states host needs adamw and one process: {', '.join(unfit)}"
            )
        return self


def parse_sections(sections: dict[str, Any], step: str | None = None) -> Settings:
    """Check a dictionary of sections; a key that is not given has its default.

    With `step`, reading a key that is not given raises `PipelineError`
    instead. Raises `PipelineError` that names every faulty key at once.
    """
    if not isinstance(sections, dict):
        raise PipelineError(
            "settings",
            "a mapping of sections",
            type(sections).__name__,
            "write sections as in config/config.yaml",
            code="invalid-setting",
        )
    try:
        context = None if step is None else {"step": step}
        settings = Settings.model_validate_json(json.dumps(sections), context=context)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']} (found {e['input']!r})"
            for e in error.errors()
        )
        raise PipelineError(
            "settings",
            "known keys with valid values",
            faults,
            "correct these keys in the configuration; config/config.yaml describes each",
            code="invalid-setting",
        ) from error
    return settings if step is None else _told(settings, step)


def _told(settings: Settings, step: str) -> Settings:
    """Return settings that hold only the given keys; sections not given are empty."""
    read = told_to(step, "", settings)
    for name in Settings.model_fields:
        section = getattr(settings, name)
        if isinstance(section, Section):
            read.__dict__[name] = told_to(step, name, section)
    return read


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
