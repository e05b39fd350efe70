"""Which settings a step reads: keys of all functions that its `main` reaches, from types alone."""

import ast
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from brainit.core.settings import Settings
from brainit.evaluation.tables.smaller import SECTIONS as HELD_TO_PAPER
from brainit.evaluation.tables.smaller import SIMULATED
from brainit.models.voxel_encoder import SIZE_SETTINGS

PACKAGE = Path(__file__).resolve().parents[2] / "pipeline_src"
HINTS = {name: hint for name, hint in get_type_hints(Settings).items() if name[0] != "_"}
SECTIONS: dict[str, list[str]] = {}
for section, hint in HINTS.items():
    for kind in [kind for kind in hint.__mro__ if kind in HINTS.values()]:
        SECTIONS.setdefault(f"{kind.__module__}.{kind.__name__}", []).append(section)
KEYS = {
    f"{hint.__module__}.{hint.__name__}": set(hint.model_fields)
    for hint in HINTS.values()
}
BY_NAME = {
    "brainit.evaluation.tables.smaller.smaller_than_paper": {
        f"simulation.{key}" for key, _, _ in SIMULATED
    },
    "brainit.evaluation.tables.smaller._differences": {
        f"{section}.{key}"
        for section in HELD_TO_PAPER
        for key in type(getattr(Settings(), section)).model_fields
        if f"{section}.{key}" not in ("nsd.connections", "nsd.accept_terms")
    },
    "brainit.models.voxel_encoder.save_encoder": {f"encoder.{key}" for key in SIZE_SETTINGS},
    "brainit.models.voxel_encoder.require_encoder_settings": {
        f"encoder.{key}" for key in SIZE_SETTINGS
    },
    "brainit.models.brain_transformer.require_same_settings": {
        *("bit.width", "bit.n_heads", "bit.n_blocks"),
    },
    "brainit.training.bit_inputs.TrainingFiles.inputs": set(),
    "brainit.training.resume.digest_of": set(),
    "brainit.core.cli.read_fetching_settings": set(),
    "brainit.report.html._settings_text": set(),
}
"""Keys that come from a table; the last four hand on what was told, or read what others read."""

WHOLE = "brainit.core.settings.Settings"
Function = ast.FunctionDef | ast.ClassDef


@cache
def modules() -> dict[str, dict[str, str]]:
    """Return module -> name in it -> what of the package it is; fills `DEFINED`."""
    found = {}
    for path in sorted((PACKAGE / "brainit").rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        names = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("brainit"):
                names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        for node in tree.body:
            if isinstance(node, Function):
                names[node.name] = f"{module}.{node.name}"
                DEFINED[names[node.name]] = (module, node)
                for method in node.body if isinstance(node, ast.ClassDef) else []:
                    if isinstance(method, ast.FunctionDef):
                        DEFINED[f"{names[node.name]}.{method.name}"] = (module, method)
        found[module] = names
    return found


DEFINED: dict[str, tuple[str, Function]] = {}


def keys_read(step: str) -> set[str]:
    """Return `section.key` of all settings that a step may read; `section.*` for all of them."""
    modules()
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [f"brainit.steps.{step}.main"]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in DEFINED or name.startswith("brainit.core.se"):
            continue
        seen.add(name)
        module, node = DEFINED[name]
        if isinstance(node, ast.ClassDef):
            waiting += [f"{name}.{part.name}" for part in node.body if isinstance(part, Function)]
            waiting += [of for base in node.bases if (of := resolved(module, base))]
        else:
            reader = Reader(name, module, node)
            waiting += reader.reached
            found |= reader.keys | BY_NAME.get(name, set())
    return found


def resolved(module: str, node: ast.AST) -> str | None:
    """Return what of the package a name, or a name of one of its modules, is."""
    of = None
    if isinstance(node, ast.Name):
        of = modules()[module].get(node.id)
    elif isinstance(node, ast.Attribute) and (of := resolved(module, node.value)) in modules():
        of = f"{of}.{node.attr}"
    else:
        return None
    home, _, name = (of or "").rpartition(".")
    return modules().get(home, {}).get(name, of)


def class_named(module: str, annotation: ast.AST | None) -> str | None:
    """Return the first class of the package that an annotation names."""
    for node in ast.walk(annotation) if annotation else []:
        of = resolved(module, node)
        if of in SECTIONS or isinstance(DEFINED.get(of or "", ("", None))[1], ast.ClassDef):
            return of
    return None


@cache
def field_class(of: str, name: str) -> str | None:
    """Return the class of a field, a property or a method's value."""
    if of not in DEFINED:
        return None
    module, node = DEFINED[of]
    for part in ast.walk(node):
        if isinstance(part, ast.AnnAssign) and getattr(part.target, "id", None) == name:
            return class_named(module, part.annotation)
        if isinstance(part, ast.FunctionDef) and part.name == name:
            return class_named(module, part.returns)
    start = DEFINED.get(f"{of}.__init__")
    return Reader(f"{of}.__init__", *start).kept.get(name) if start else None


class Reader:
    """What one function reads and reaches."""

    def __init__(self, name: str, module: str, node: Any) -> None:
        self.name = name
        self.module, self.keys, self.reached = module, set[str](), list[str]()
        self.types: dict[str, str | None] = {"self": name.rpartition(".")[0]}
        self.kept: dict[str, str | None] = {}
        inside = [part for line in node.body for part in ast.walk(line)]
        for part in [node, *inside]:
            if isinstance(part, (ast.FunctionDef, ast.Lambda)):
                for arg in (*part.args.args, *part.args.kwonlyargs):
                    self.types.setdefault(arg.arg, class_named(module, arg.annotation))
        for part in inside:
            if isinstance(part, ast.Assign):
                self._assign(part.targets[0], part.value)
            elif isinstance(part, ast.Assert):
                self._narrow(part.test)
        hints = {
            id(p)
            for part in inside
            if (a := getattr(part, "annotation", None))
            for p in ast.walk(a)
        }
        for part in inside:
            if id(part) not in hints:
                self._read(part, name)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, of in zip(target.elts, value.elts, strict=True):
                self._assign(one, of)
        elif isinstance(target, ast.Name):
            self.types[target.id] = self._class_of(value)
        elif isinstance(target, ast.Attribute):
            self.kept[target.attr] = self._class_of(value)

    def _narrow(self, test: ast.expr) -> None:
        """Take the class that `assert isinstance(name, Class)` gives a name."""
        if isinstance(test, ast.Call) and getattr(test.func, "id", "") == "isinstance":
            name, of = test.args[0], class_named(self.module, test.args[1])
            if isinstance(name, ast.Name) and of:
                self.types[name.id] = of

    def _class_of(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self.types.get(node.id)
        if isinstance(node, ast.Attribute):
            of = self._class_of(node.value)
            if self.name.endswith(".__init__") and of == self.types["self"]:
                return self.kept.get(node.attr)
            return of if node.attr == "model_copy" else field_class(of, node.attr) if of else None
        if isinstance(node, ast.Call):
            of = resolved(self.module, node.func)
            if of in DEFINED:
                module, made = DEFINED[of]
                return of if isinstance(made, ast.ClassDef) else class_named(module, made.returns)
            return self._class_of(node.func)
        return None

    def _read(self, node: ast.AST, name: str) -> None:
        of = resolved(self.module, node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        self.reached += [of] if of else []
        if isinstance(node, ast.Attribute) and (of := self._class_of(node.value)) in SECTIONS:
            named = getattr(node.value, "attr", "")
            sections = [named] if named in SECTIONS[of] else SECTIONS[of]
            keys = KEYS[of] if node.attr == "model_dump" else {node.attr} & KEYS[of]
            self.keys |= {f"{section}.{key}" for section in sections for key in keys}
        if isinstance(node, ast.Call) and name not in BY_NAME:
            is_get = getattr(node.func, "id", "") == "getattr"
            is_dump = getattr(node.func, "attr", "") == "model_dump"
            of = self._class_of(node.args[0] if is_get else getattr(node.func, "value", node.func))
            if (is_get and of in SECTIONS) or ((is_get or is_dump) and of == WHOLE):
                self.keys.add(f"{name}: name its keys in BY_NAME")
