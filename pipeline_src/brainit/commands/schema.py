"""`brainit schema`: write the JSON schema and `config/config.yaml` from the settings classes."""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import RootModel

from brainit.core.files import write_text
from brainit.core.settings import Settings, json_schema

SCHEMA_PATH = Path("workflow/schemas/config.schema.json")
CONFIG_PATH = Path("config/config.yaml")

_HEAD = """\
# The paper's settings. Written by `brainit schema` from the classes in brainit.core: edit those,
# or override keys in a file of your own (snakemake --configfile mine.yaml).
# P = paper (arXiv 2510.25976, section or table), C = released code.
"""


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("schema", help="write the config schema and the paper's config")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write both files below `--root`."""
    write_text(args.root / SCHEMA_PATH, schema_text())
    write_text(args.root / CONFIG_PATH, config_text())


def schema_text() -> str:
    """Return the JSON schema of the configuration as text."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def config_text() -> str:
    """Return the configuration with the paper's values and a comment above each key."""
    lines = [_HEAD]
    values = Settings().model_dump(mode="json")
    for name, section in Settings.model_fields.items():
        model = type(section.default)
        if issubclass(model, RootModel):
            lines += [f"# {_first_line(model.__doc__)}", *_root_lines(name, values[name]), ""]
            continue
        lines.append(f"# {_first_line(model.__doc__)}\n{name}:")
        for key, field in model.model_fields.items():
            lines.append(f"  # {field.description}")
            lines.append(f"  {key}: {_yaml_value(values[name][key])}")
        lines.append("")
    return "\n".join(lines)


def _root_lines(name: str, value: Any) -> list[str]:
    """Return the lines of a key whose value is one word, or a table with a line per entry."""
    if isinstance(value, dict) and value:
        return [f"{name}:", *(f"  {key}: {_yaml_value(entry)}" for key, entry in value.items())]
    return [f"{name}: {_yaml_value(value)}"]


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().splitlines()[0]


def _yaml_value(value: Any) -> str:
    if isinstance(value, float):
        return _yaml_float(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _yaml_float(value: float) -> str:
    """Write a float so that YAML 1.1 reads it as one (3e-4 would be a string)."""
    text = repr(value)
    mantissa, separator, exponent = text.partition("e")
    if separator and "." not in mantissa:
        mantissa += ".0"
    return mantissa + separator + exponent
