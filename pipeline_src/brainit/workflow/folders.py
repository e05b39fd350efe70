"""Expand `~` and environment variables in the paths of a configuration, once, as it is read."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.sources import is_remote

EXPANDED = (
    "paths.results",
    "paths.store",
    "paths.source",
    "paths.coco_source",
    "nsd.mask_files",
    "lab",
    "models",
    "clusters.atlas",
    "run.container",
)
"""Settings that hold a path, several, or names of paths; an ablation may hold them too."""
_VARIABLE = re.compile(r"\$\{?\w+\}?")


def expand_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with `~` and `$VARS` expanded in each setting that holds a path.

    Network addresses stay as they are. Raises `PipelineError` for an unset variable or an unknown
    user, which would otherwise become a folder of that name.
    """
    expanded = {**config}
    for name in EXPANDED:
        section, _, key = name.partition(".")
        values = expanded.get(section)
        if not key and values is not None:
            expanded[section] = _expand(name, values)
        elif isinstance(values, Mapping) and key in values:
            expanded[section] = {**values, key: _expand(name, values[key])}
    if isinstance(ablations := expanded.get("ablations"), Mapping):
        expanded["ablations"] = {
            variant: expand_folders(overlay) if isinstance(overlay, Mapping) else overlay
            for variant, overlay in ablations.items()
        }
    return expanded


def expand_folder(text: str, name: str) -> str:
    """Return a path with `~` and `$VARS` expanded; `name` is its setting or variable.

    Raises `PipelineError` for an unset variable or an unknown user.
    """
    if is_remote(text):
        return text
    path = os.path.expanduser(os.path.expandvars(text))
    unknown = _VARIABLE.findall(path) or ([Path(path).parts[0]] if path.startswith("~") else [])
    if unknown:
        raise PipelineError(
            name,
            "a path of known users and of variables that are set",
            f"{text}, without a value for {', '.join(unknown)}",
            f"export {unknown[0].strip('${}')}, or write the path in full",
            code="invalid-setting",
        )
    return path


def _expand(name: str, value: Any) -> Any:
    """Return a path, a list of paths or a mapping to paths, expanded; other values unchanged."""
    if isinstance(value, str):
        return expand_folder(value, name)
    if isinstance(value, list | tuple):
        return [_expand(name, item) for item in value]
    if isinstance(value, Mapping):
        return {key: _expand(f"{name}.{key}", item) for key, item in value.items()}
    return value
