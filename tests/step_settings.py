"""The `--settings` of a step: with keys left out, a step refuses to read them."""

import json
from typing import Any

from brainit.core.settings import Settings
from brainit.workflow.reads import settings_json


def step_settings(step: str, sections: dict[str, dict[str, Any]]) -> str:
    """Return the JSON of the settings that `step` declares, with `sections` over the paper's."""
    return settings_json(step, _config(sections))


def all_settings(sections: dict[str, dict[str, Any]]) -> str:
    """Return the JSON of all settings, with `sections` over the paper's."""
    return json.dumps(_config(sections))


def _config(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    config = Settings().model_dump(mode="json")
    for name, values in sections.items():
        config[name] = {**config[name], **values}
    return config
