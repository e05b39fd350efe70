"""Variants: the same steps with other settings.

A variant's files exist from the first step that it changes; all before are those of the full run.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.runs import MAIN, Run, Variant

Config = Mapping[str, Any]

_DRAWS = ("nsd.pairing", "run.seed")
_MADE_WITH: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "encoder": ((), ()),
    "clusters": (("clusters",), ("encoder",)),
    "bit_lowlevel": (("synthesis.enabled", "bit", "bit_lowlevel", *_DRAWS), ("clusters",)),
    "bit_semantic": (("synthesis.enabled", "bit", "bit_semantic", *_DRAWS), ("clusters",)),
    "joint": (("synthesis.enabled", "bit", "joint", *_DRAWS), ("bit_semantic",)),
    "lowlevel": (("bit", "dip", "recon.max_images", "recon.batch", "run.seed"), ("bit_lowlevel",)),
    "semantic": (("bit", "dip", "recon", "run.seed"), ("joint",)),
    "fused": ((), ("lowlevel", "semantic")),
}
"""Model or kind of image -> the settings it is made with, and its sources.

Encoder and clusters keep the full run's seed and pairing. `dip` is among the settings of `semantic`
so that a variant of the inversion is judged by its fused images.
"""


@dataclass(frozen=True, eq=False)
class Variants:
    """The variants of a configuration: the settings each changes, and the files it shares.

    `overlays` are the settings in which each differs, by its name; `settings` its whole
    configuration. `repeats` are the names of repeats with other seeds.
    """

    overlays: Mapping[str, Config]
    settings: Mapping[str, Config]
    repeats: frozenset[str]

    @classmethod
    def of(cls, config: Config) -> "Variants":
        """Return the ablations of a configuration that are run, and their repeats.

        Raises `PipelineError` for a repeat of an unknown ablation or with the run's own seed, for
        settings that no variant can change, and for a stage 2 that cannot be shared.
        """
        ablations = {k: v for k, v in config["ablations"].items() if v is not None}
        repeated = _repeats(config, ablations)
        overlays = {**ablations, **repeated}
        _require_variable(overlays)
        settings: dict[str, Config] = {MAIN.name: config}
        settings |= {name: merged(config, overlay) for name, overlay in overlays.items()}
        for name, values in settings.items():
            _require_processes(name, values)
        return cls(overlays, settings, frozenset(repeated))

    @property
    def names(self) -> list[str]:
        """All variants but `main`."""
        return list(self.overlays)

    def settings_of(self, variant: Variant) -> Config:
        """Return the whole configuration of a variant; main's for one that is not run."""
        return self.settings.get(variant.name, self.settings[MAIN.name])

    def changes(self, variant: Variant, made: str) -> bool:
        """Return True if a variant changes a model or kind of image, or one of its sources."""
        maker = self.maker(variant, made)
        names, sources = _MADE_WITH[made]
        settings, main = self.settings_of(maker), self.settings[MAIN.name]
        if any(_value(settings, name) != _value(main, name) for name in names):
            return True
        return any(self.changes(maker, source) for source in sources)

    def maker(self, variant: Variant, made: str) -> Variant:
        """Return the variant that makes a model: a repeat has the clusters of the repeated one."""
        is_shared = made == "clusters" and variant.name in self.repeats
        return Variant(variant.row) if is_shared else variant

    def run_of(self, variant: Variant, kind: str) -> Run:
        """Return the run that holds a variant's images: the full one where they are the same."""
        return Run(variant=variant) if self.changes(variant, kind) else Run()

    def kinds_of(self, variant: Variant) -> list[str]:
        """Return the kinds of images made for a variant; it is judged by the last.

        A variant of the low-level branch alone has no fused images (T5). One that changes neither
        branch, such as `k128` of 128 clusters, is the full run under another name.
        """
        is_lowlevel = self.changes(variant, "lowlevel") and not self.changes(variant, "semantic")
        return ["lowlevel"] if is_lowlevel else ["lowlevel", "fused"]


def _repeats(config: Config, ablations: Mapping[str, Config]) -> dict[str, Config]:
    """Return the overlays of the repeats with other seeds, by name."""
    rows, seeds = config["seeds"]["rows"], config["seeds"]["values"]
    for row in rows if seeds else []:
        if row != MAIN.name and row not in ablations:
            raise PipelineError(
                "seeds.rows",
                "main or an ablation that is run",
                row,
                f"add {row} to the section `ablations`, or remove it from seeds.rows",
                code="unknown-name",
            )
    if config["run"]["seed"] in seeds:
        raise PipelineError(
            "seeds.values",
            "other seeds than run.seed",
            str(config["run"]["seed"]),
            f"remove {config['run']['seed']}: its rows are the runs without repeats",
            code="invalid-setting",
        )
    repeated: dict[str, Config] = {}
    for row in rows:
        for seed in seeds:
            overlay = {**ablations.get(row, {}), "run": {"seed": seed}}
            repeated[Variant(row, seed).name] = overlay
    return repeated


def _require_variable(overlays: Mapping[str, Config]) -> None:
    """Check that variants change only settings of the steps after the encoder."""
    variable = {name for names, _ in _MADE_WITH.values() for name in names}
    for variant, overlay in overlays.items():
        changed_keys = [f"{section}.{key}" for section, keys in overlay.items() for key in keys]
        fixed = [name for name in changed_keys if not {name, name.split(".")[0]} & variable]
        if fixed:
            raise PipelineError(
                f"ablations.{variant}",
                f"settings of {', '.join(sorted(variable))}",
                ", ".join(fixed),
                f"remove {', '.join(fixed)} from the ablation and run it as a separate"
                " configuration (--configfile)",
                code="invalid-setting",
            )


def _require_processes(variant: str, config: Config) -> None:
    """Check that the processes of stage 2 share its forward passes evenly."""
    joint = config["joint"]
    if joint["accumulation"] % joint["processes"]:
        raise PipelineError(
            "joint.processes" if variant == MAIN.name else f"ablations.{variant}.joint.processes",
            f"a divisor of joint.accumulation, {joint['accumulation']}",
            str(joint["processes"]),
            f"set joint.accumulation to a multiple of {joint['processes']}, and joint.batch to fit",
            code="invalid-setting",
        )


def merged(base: Config, overlay: Config) -> dict[str, Any]:
    """Return a configuration with an overlay on top, section by section."""
    both = deepcopy(dict(base))
    for key, value in overlay.items():
        is_section = isinstance(value, Mapping)
        below = both.get(key)
        section = below if isinstance(below, Mapping) else {}
        both[key] = merged(section, value) if is_section else deepcopy(value)
    return both


def _value(config: Config, name: str) -> Any:
    section, _, key = name.partition(".")
    return config[section][key] if key else config[section]
