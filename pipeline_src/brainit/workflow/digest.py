"""Digest the code that decides a step's bytes, so that a job reruns where that code changed.

From the step's module on, the digest follows names to the functions, classes and constants that
they mean, within the package and without importing it. Each counts by its syntax tree less words
and annotations (`normal_form`). Code that runs when a module is imported counts for all importers.
A call `load_backbone("vgg", ...)` counts the loaders of all networks of that role. A string
"brainit.module:name" counts what it names (`core.decoders`). A literal that names a file beside its
module, as "report.html", counts that file, and what it includes. The step `fetch_weights` alone
counts the networks' sources, without licences and descriptions. Rules pass the digest as
`params.code`: Snakemake reruns a job whose params changed.

`python -m brainit.workflow.digest STEP` lists the code that the digest of a step covers.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from brainit.workflow.normal_form import called, normal_form, shown, without_arguments
from brainit.workflow.parsed_modules import ParsedModules

PACKAGE = Path(__file__).resolve().parents[1]
Name = tuple[str, str | None]
"""(module, name in it)."""
LOADERS = "brainit.features.loaders"
REGISTRY = "brainit.features.registry_entries"
_FETCHING: Name = ("brainit.steps.fetch_weights", "main")
_SOURCES = "sources:"
_DESCRIBING = {"licence", "description", "size_mb", "used_by"}
"""What the registry tells readers about a network; the rest decides its weights file."""
_ROLE = "role:"
_PATH = re.compile(r"brainit(\.\w+)+:[A-Za-z]\w*")
"""A definition named in a string, to be imported when it is used."""
_FILE = "file:"
_FILE_NAME = re.compile(r"\w[\w-]*\.(?!py$)\w+")
_INCLUDED = re.compile(r'{%-? *include "([^"]+)"')
_FIX = re.compile(r"_?([A-Z]+_)*FIX|REFETCH")
"""Names of constants that hold the fix of an error."""
LEFT_OUT = {
    "brainit.core.artifacts:CONTRACTS": "checks what is written; the writer decides the bytes",
    "brainit.core.cli": "parses flags: their values are arguments, their types are in dataclasses",
    "brainit.core.errors": "words and codes of errors",
    "brainit.core.files:DENIED": "chooses the words of an error",
    "brainit.core.hdf5": "opens files and checks their sizes; content passes unchanged",
    "brainit.core.interruption": "ends a step early, on a whole checkpoint; its rerun continues",
    "brainit.core.locks": "lets one job write an output at a time",
    "brainit.core.progress": "reports progress",
    "brainit.core.reading": "tells errors of the machine from damage; content passes unchanged",
    "brainit.core.shards:_LONG_ROW": "which rows the disk is asked for ahead",
    "brainit.core.settings": "each step gets the values that it reads, and may read no others;"
    " tables' notes and NSD's checks also read defaults: after a change of those use --forcerun",
    "brainit.data.fetch": "moves bytes unchanged: lengths and published checksums are checked",
    REGISTRY: "weights files are inputs; of its sources, see `fetch_weights`",
    LOADERS: "followed role by role",
    "brainit.training.event_files": "written for viewing; no output depends on them",
    "brainit.training.loader:_THREADS_OF_A_GPU": "how far ahead the same batches are prepared",
    "brainit.training.loop:_SECONDS_BETWEEN_LINES": "reports progress",
    "brainit.training.loop:log_epoch": "reports progress",
    "brainit.training.loop:logged_batches": "reports progress; yields the batches unchanged",
    "brainit.training.parallel:_TIMEOUT": "how long processes wait; then the job fails",
    "brainit.training.resume:_LARGEST_SHARE": "how often checkpoints are written",
    "brainit.workflow.digest": "this digest",
    "brainit.workflow.normal_form": "this digest",
    "brainit.workflow.parsed_modules": "this digest",
}
"""Modules, packages and names (`module:name`) that never decide bytes, and why.

The rest of `core` counts: `artifacts`, `shards` and `files` write the bytes, `streams`, `seeds` and
`device` decide draws and precision, `checkpoints` what a training continues from, `compat` which
library code runs.
"""


@dataclass
class Part:
    """A definition of a module: the digest of its normal form, and the names that it uses.

    Used names include `role:...` and, for each literal that may name a file, `file:...`.
    """

    digest: str
    uses: frozenset[str]


@dataclass
class Module:
    """A module's definitions, its imports by local name, and all modules that it imports.

    The part "" runs at import: statements that define nothing.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)


def code_digest(*names: str, root: Path | None = None) -> str:
    """Digest all code that modules (`a.b`) or definitions (`a.b:name`) reach, to 16 hex digits.

    `root` is the folder that holds the package `brainit`; None: the folder of this package.
    """
    return (Code(root) if root else _own()).digest(*names)


@cache
def _own() -> "Code":
    return Code(PACKAGE.parent, ParsedModules())


class Code:
    """The sources below a folder; each is read once, and parsed once where `kept` is given."""

    def __init__(self, root: Path, kept: ParsedModules | None = None) -> None:
        self._root, self._kept = root, kept
        self._modules: dict[str, Module | None] = {}
        self._steps: dict[Name, tuple[str, list[Name]]] = {}

    def digest(self, *names: str) -> str:
        """Return the digest of all that the names reach; see `code_digest`."""
        text = "".join(f"{line}\n" for line in self.covered(*names))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def covered(self, *names: str) -> list[str]:
        """Return a line for each definition that the names reach: its name and its own digest."""
        waiting: list[Name] = []
        for name in names:
            module, _, part = name.partition(":")
            waiting.append((module, part or None))
        lines, seen = set[str](), set[Name]()
        while waiting:
            definition = waiting.pop()
            if definition not in seen:
                seen.add(definition)
                if definition not in self._steps:
                    self._steps[definition] = self._step(*definition)
                line, reached = self._steps[definition]
                lines.add(line)
                waiting += reached
        if self._kept:
            self._kept.save()
        return sorted(lines - {""})

    def _step(self, module: str, name: str | None) -> tuple[str, list[Name]]:
        """Return the line of a definition ("" for none), and the names it uses.

        Name None means all of the module, "" the code that runs when it is imported.
        """
        source = self._module(module)
        if name and name.startswith(_ROLE):
            return self._loaders(name.removeprefix(_ROLE))
        if name and name.startswith(_FILE):
            return self._data_file(module, name.removeprefix(_FILE))
        if (module, name) == (REGISTRY, _SOURCES):
            return self._sources(), []
        if source is None or _is_left_out(module) or _is_left_out(f"{module}:{name}"):
            return "", []
        if name is None:
            return "", [(module, part) for part in ("", *source.parts)]
        part = source.parts.get(name, Part("", frozenset()))
        reached: list[Name] = [] if name == "" else [(module, "")]
        reached += [(REGISTRY, _SOURCES)] if (module, name) == _FETCHING else []
        outside = set()
        for use in part.uses:
            for to_module, to_name in self._resolved(module, source, use):
                if to_module.split(".")[0] == "brainit":
                    reached.append((to_module, to_name))
                else:
                    outside.add(f"{use.partition('.')[0]}={to_module}")
        if name == "":
            parts = module.split(".")
            parents = [".".join(parts[:n]) for n in range(1, len(parts))]
            reached += [(other, "") for other in (*parents, *source.imported)]
        line = " ".join([f"{module}:{name}", part.digest, *sorted(outside)])
        return (line if part.digest else ""), reached

    def _resolved(self, module: str, source: Module, use: str) -> Iterator[Name]:
        """Yield (module, definition or None for all) of a dotted name used in a module."""
        if use.startswith(_ROLE):
            yield LOADERS, use
            return
        if _PATH.fullmatch(use):
            module, _, name = use.partition(":")
            yield from self._in_package([*module.split("."), name])
            return
        if use.startswith(_FILE):
            yield module, use
            return
        first, *rest = use.split(".")
        if first in source.parts:
            yield module, first
        for target in source.imports.get(first, ()):
            if target.split(".")[0] == "brainit":
                yield from self._in_package([*target.split("."), *rest])
            else:
                yield target, None

    def _in_package(self, parts: list[str]) -> Iterator[Name]:
        for n in range(len(parts), 0, -1):
            module = ".".join(parts[:n])
            source = self._module(module)
            if source is None:
                continue
            if n == len(parts):
                yield module, None
            elif parts[n] in source.parts:
                yield module, parts[n]
            elif parts[n] in source.imports and not _is_left_out(module):
                yield from self._resolved(module, source, ".".join(parts[n:]))
            else:
                yield module, None
            return

    def _loaders(self, role: str) -> tuple[str, list[Name]]:
        """Return the loaders of a role, of all its networks; "*": of every role."""
        tree = ast.parse(_source(LOADERS, self._root).read_text(encoding="utf-8"))
        (table,) = (node.value for node in tree.body if isinstance(node, ast.AnnAssign))
        assert table is not None
        loaders = ast.literal_eval(table)
        chosen = {name: loaders[name] for name in (loaders if role == "*" else [role])}
        line = f"{LOADERS}:{role} {json.dumps(chosen, sort_keys=True)}"
        paths = [word.split(":") for networks in chosen.values() for word in networks.values()]
        return line, [(module, function) for module, function in paths]

    def _sources(self) -> str:
        """Return the line of the sources of all networks."""
        tree = normal_form(ast.parse(_source(REGISTRY, self._root).read_text(encoding="utf-8")))
        text = shown(without_arguments(tree, _DESCRIBING))
        return f"{REGISTRY}:sources {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _data_file(self, module: str, name: str) -> tuple[str, list[Name]]:
        """Return the line of a file beside a module, and the files that it includes."""
        path = _source(module, self._root).with_name(name)
        if not path.is_file():
            return "", []
        content = path.read_bytes()
        included = _INCLUDED.findall(content.decode("utf-8", "replace"))
        digest = hashlib.sha256(content).hexdigest()[:16]
        folder = (
            module if _source(module, self._root).stem == "__init__" else module.rpartition(".")[0]
        )
        return f"{folder}:{name} {digest}", [(module, f"{_FILE}{other}") for other in included]

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            path = _source(name, self._root)
            text = path.read_text(encoding="utf-8") if path.is_file() else None
            self._modules[name] = None if text is None else self._read(name, text)
        return self._modules[name]

    def _read(self, name: str, text: str) -> Module:
        """Return a module by its text, from what is kept if it is there."""
        if self._kept is None:
            return _parsed(text)
        plain = self._kept.get(name, text)
        if plain is None:
            plain = _plain(_parsed(text))
            self._kept.put(name, text, plain)
        return _module_of(plain)


def _is_left_out(name: str) -> bool:
    if _FIX.fullmatch(name.partition(":")[2]):
        return True
    return any(name == left or name.startswith((f"{left}.", f"{left}:")) for left in LEFT_OUT)


def _source(module: str, root: Path) -> Path:
    """Return the source file of a module; it may not exist."""
    base = root.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _parsed(text: str) -> Module:
    """Return the parts and imports of a module's text."""
    module, statements = Module(), dict[str, list[ast.stmt]]()
    tree = normal_form(ast.parse(text))
    for node in ast.walk(tree):
        _add_imports(module, node)
    for stmt in tree.body:
        if not isinstance(stmt, (ast.Import, ast.ImportFrom)):
            for bound in _bound(stmt, module):
                statements.setdefault(bound, []).append(stmt)
    for bound, nodes in statements.items():
        uses = _Uses()
        for node in nodes:
            uses.visit(node)
        text = "".join(shown(node) for node in nodes)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        module.parts[bound] = Part(digest, frozenset(uses.found))
    return module


def _plain(module: Module) -> list[Any]:
    """Return a module as values that JSON can hold; see `_module_of`."""
    parts = {name: [part.digest, sorted(part.uses)] for name, part in module.parts.items()}
    imports = {name: sorted(found) for name, found in module.imports.items()}
    return [parts, imports, sorted(module.imported)]


def _module_of(plain: list[Any]) -> Module:
    parts, imports, imported = plain
    return Module(
        {name: Part(digest, frozenset(uses)) for name, (digest, uses) in parts.items()},
        {name: set(found) for name, found in imports.items()},
        set(imported),
    )


def _add_imports(module: Module, node: ast.AST) -> None:
    if isinstance(node, ast.Import):
        for word in node.names:
            first = word.name.split(".")[0]
            module.imported.add(word.name)
            module.imports.setdefault(word.asname or first, set()).add(
                word.name if word.asname else first
            )
    elif isinstance(node, ast.ImportFrom) and node.module:
        module.imported.add(node.module)
        for word in node.names:
            full = f"{node.module}.{word.name}"
            module.imports.setdefault(word.asname or word.name, set()).add(full)
            module.imported.add(full)


def _bound(stmt: ast.stmt, module: Module) -> list[str]:
    """Return the names that a statement defines; [""] where it runs at import for its effect."""
    if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        decorators = {called(word) for word in stmt.decorator_list}
        registers = any("brainit" in str(module.imports.get(word)) for word in decorators)
        return [stmt.name, ""] if registers else [stmt.name]
    targets: list[ast.expr] = []
    if isinstance(stmt, ast.Assign):
        targets = [
            part
            for target in stmt.targets
            for part in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
    elif isinstance(stmt, (ast.AnnAssign, ast.AugAssign)):
        targets = [stmt.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if names and len(names) == len(targets) else [""]


class _Uses(ast.NodeVisitor):
    """Collects the names that a definition uses, dotted where attributes follow, and roles."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        self.found.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            parts.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self.found.add(".".join([value.id, *reversed(parts)]))
        else:
            self.visit(value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _PATH.fullmatch(node.value):
            self.found.add(node.value)
        if isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
            self.found.add(f"{_FILE}{node.value}")

    def visit_Call(self, node: ast.Call) -> None:
        if called(node) == "load_backbone":
            argument = node.args[0] if node.args else None
            is_literal = isinstance(argument, ast.Constant)
            self.found.add(f"{_ROLE}{argument.value if is_literal else '*'}")  # type: ignore[union-attr]
        self.generic_visit(node)


def main(arguments: list[str]) -> None:
    """Print the code that the digest of a step covers; without a step, the digest of each."""
    steps = sorted(path.stem for path in (PACKAGE / "steps").glob("[!_]*.py"))
    for step in [] if arguments else steps:
        sys.stdout.write(f"{code_digest(f'brainit.steps.{step}')} {step}\n")
    names: dict[str, list[str]] = {}
    for line in _own().covered(*(f"brainit.steps.{step}" for step in arguments)):
        module, _, name = line.split()[0].partition(":")
        names.setdefault(module, []).append(name or "(runs at import)")
    for module, lines in names.items():
        sys.stdout.write(f"{module}: {', '.join(lines)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
