"""What every step's command shares: its log, its settings, its error boundary.

A step is `python -m brainit.steps.<rule>`: paths are flags of their own, the settings it uses
travel as one `--settings` JSON object `{"section": {...}, ...}`, checked by `core.settings`.
"""

import argparse
import ast
import dataclasses
import inspect
import json
import logging
import os
import platform
import sys
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from brainit.core.errors import PipelineError
from brainit.core.interruption import EXIT_INTERRUPTED, Interrupted, stop_on_signals
from brainit.core.locks import locked
from brainit.core.reading import refuse_machine_error
from brainit.core.settings import NsdSettings, Settings, parse_sections

logger = logging.getLogger(__name__)

EXIT_PIPELINE_ERROR = 2


Fields = TypeVar("Fields")


def step_parser(
    step: str,
    description: str | None,
    *kinds: type[Any],
    flags: Mapping[str, str] | None = None,
) -> argparse.ArgumentParser:
    """Return the parser of a step: `--settings`, and the flags of dataclasses as in `add_flags`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m brainit.steps.{step}", description=description
    )
    parser.add_argument(
        "--settings", required=True, help="JSON object of the settings sections used"
    )
    parser.set_defaults(step=step)
    add_flags(parser, *kinds, flags=flags)
    return parser


def add_flags(
    parser: argparse.ArgumentParser,
    *kinds: type[Any],
    flags: Mapping[str, str] | None = None,
) -> None:
    """Add a flag for each field of the dataclasses: `--flag-name VALUE` for `flag_name`.

    A field is a `str`, `int`, `float`, `Path`, `Literal` or `bool` (a switch), one of these or
    None, several (`tuple`, `list`, `Sequence`), or a `Mapping` to paths (NAME=PATH ...). A flag is
    required unless its field has a default or may be None. The field's docstring is the help. A
    flag has the name of its field unless `flags` (field -> flag), or the field itself by
    `field(metadata={"flag": "weights"})`, gives it another.
    """
    for kind in kinds:
        hints, docstrings = get_type_hints(kind), _field_docstrings(kind)
        for field in dataclasses.fields(kind):
            words = _argument_of(hints[field.name])
            default = _default_of(field)
            if default is not dataclasses.MISSING:
                words["default"] = default
                if words.get("nargs") == "+":
                    words["nargs"] = "*"
            words["required"] = "default" not in words
            name = (flags or {}).get(field.name, field.metadata.get("flag", field.name))
            name = str(name).replace("_", "-")
            if "type" in words:
                words.setdefault("metavar", name.replace("-", "_").upper())
            described = docstrings.get(field.name, "").replace("%", "%%")
            parser.add_argument(f"--{name}", dest=field.name, help=described, **words)


def from_args(kind: type[Fields], args: argparse.Namespace) -> Fields:
    """Return the dataclass `kind` with the values of its flags; see `add_flags`.

    Raises `PipelineError` for a word of a mapping that is not NAME=PATH.
    """
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = getattr(args, field.name)
        if isinstance(value, list):  # given: a default keeps its own type
            is_mapping = get_origin(_without_none(hints[field.name])) in _MAPPINGS
            value = named_paths(value) if is_mapping else tuple(value)
        values[field.name] = value
    return kind(**values)


_MAPPINGS = (dict, Mapping)
_SEQUENCES = (list, tuple, Sequence)


def _argument_of(hint: Any) -> dict[str, Any]:
    """Return the words of `add_argument` for a field's type."""
    kind = _without_none(hint)
    words: dict[str, Any] = {} if kind is hint else {"default": None}
    origin = get_origin(kind)
    if kind is bool:
        return {"action": "store_true", "default": False}
    if origin in _MAPPINGS:
        return {**words, "nargs": "*", "metavar": "NAME=PATH"}
    if origin in _SEQUENCES:
        return {**words, "nargs": "+", **_argument_of(get_args(kind)[0])}
    if origin is Literal:
        return {**words, "choices": get_args(kind)}
    if kind not in (str, int, float, Path):
        raise TypeError(f"no flag for a field of type {hint}")
    return {**words, "type": kind}


def _without_none(hint: Any) -> Any:
    """Return X of `X | None`, and any other type as it is."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    others = [kind for kind in get_args(hint) if kind is not types.NoneType]
    return others[0] if len(others) == 1 else hint


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _field_docstrings(kind: type[Any]) -> dict[str, str]:
    """Return the string below each field of a dataclass and its bases, by the field's name."""
    docstrings: dict[str, str] = {}
    for base in kind.__bases__:
        if dataclasses.is_dataclass(base):
            docstrings |= _field_docstrings(base)
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            docstrings[field.target.id] = " ".join(str(text.value.value).split())
    return docstrings


def read_settings(args: argparse.Namespace) -> Settings:
    """Parse `--settings`; a setting that is not in it can't be read, see `core.settings.base`.

    `--connections`, where a step has and gets it, comes before `nsd.connections`.
    """
    given = _settings_json(args)
    if hasattr(args, "connections"):
        nsd = {"connections": NsdSettings().connections, **given.get("nsd", {})}
        if args.connections is not None:
            nsd["connections"] = args.connections
        given = {**given, "nsd": nsd}
    return parse_sections(given, step=args.step)


def _settings_json(args: argparse.Namespace) -> dict[str, Any]:
    try:
        return json.loads(args.settings)
    except json.JSONDecodeError as error:
        raise PipelineError(
            "--settings",
            "a JSON object",
            str(error),
            """quote it as '{"section": {"key": value}}'""",
            code="invalid-argument",
        ) from error


@dataclasses.dataclass(frozen=True)
class Connections:
    """Flag of a step that fetches.

    The workflow gives it, so that another number of connections repeats no job.
    """

    connections: int | None = None
    """at a time; nsd.connections if not given"""


@dataclasses.dataclass(frozen=True)
class StepArguments:
    """A step's settings, and its flags as dataclasses: `arguments[Flags]`."""

    settings: Settings
    values: argparse.Namespace

    def __getitem__(self, kind: type[Fields]) -> Fields:
        """Return the dataclass `kind` with the values of its flags; see `from_args`."""
        return from_args(kind, self.values)


def parse_step(
    argv: Sequence[str] | None,
    step: str,
    description: str | None,
    *kinds: type[Any],
    flags: Mapping[str, str] | None = None,
) -> StepArguments:
    """Parse the arguments of a step with the flags of dataclasses; see `add_flags`."""
    values = step_parser(step, description, *kinds, flags=flags).parse_args(argv)
    return StepArguments(read_settings(values), values)


def parse_flags(
    argv: Sequence[str] | None,
    step: str,
    description: str | None,
    kind: type[Fields],
    *others: type[Any],
) -> tuple[Fields, Settings]:
    """Return a step's flags of one dataclass, and its settings.

    `others` are flags that only the settings take: `Connections`.
    """
    arguments = parse_step(argv, step, description, kind, *others)
    return arguments[kind], arguments.settings


def named_paths(values: Sequence[str]) -> dict[str, Path]:
    """Turn `["subj01=path", ...]` into a dictionary in the order given."""
    pairs: dict[str, Path] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not separator or not name or not path:
            raise PipelineError(
                f"argument {value!r}",
                "NAME=PATH",
                value,
                "write e.g. subj01=betas.npy",
                code="invalid-argument",
            )
        pairs[name] = Path(path)
    return pairs


def run_step(
    step: str, main: Callable[[Sequence[str] | None], None], output: str | None = None
) -> None:
    """Run a step's `main` with logging, a first line of versions, and the error boundary.

    `output` is the flag of what a long step writes (`--bit`): while it runs, no other job may write
    it. SIGTERM and SIGUSR1 end the step with status 75, a training's after its checkpoint. Of
    processes that torchrun started, the first holds the lock and says how far it is.
    """
    is_first = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"
    logging.basicConfig(
        level=logging.INFO if is_first else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy"))
    logger.info("step %s, python %s, %s", step, platform.python_version(), versions)
    stop_on_signals()
    sys.exit(guarded(exclusive(main, output if is_first else None)))


def exclusive(
    main: Callable[[Sequence[str] | None], None], output: str | None
) -> Callable[[Sequence[str] | None], None]:
    """Return `main`, run under the lock of the file or folder that the flag `output` names."""
    if output is None:
        return main
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(output, dest="path", type=Path)

    def under_lock(argv: Sequence[str] | None) -> None:
        path = parser.parse_known_args(argv)[0].path
        with locked(path) if path else nullcontext():
            main(argv)

    return under_lock


def guarded(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Call `main(argv)`; print a `PipelineError` as one line and return 2, or return 0.

    An interruption is one line and 75. `BRAINIT_DEBUG=1` shows an error's traceback as well. Any
    other exception is a bug and passes through.
    """
    try:
        _with_machine_errors_named(main, argv)
    except PipelineError as error:
        if os.environ.get("BRAINIT_DEBUG"):
            raise
        sys.stderr.write(f"ERROR: {error}\n")
        return EXIT_PIPELINE_ERROR
    except Interrupted as interruption:
        sys.stderr.write(f"INTERRUPTED: {interruption}\n")
        return EXIT_INTERRUPTED
    return 0


def _with_machine_errors_named(
    main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None
) -> None:
    """Call `main(argv)`; raise `PipelineError` where disk, rights or memory of the machine fail."""
    try:
        main(argv)
    except PipelineError:
        raise
    except Exception as error:
        refuse_machine_error("the machine", "a file that can be written and read", error)
        raise
