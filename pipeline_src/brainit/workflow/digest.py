"""Digest the code of a step, so that a job reruns where its code changed.

The digest covers the syntax trees of the step's module and of all modules of the package that it
imports. No module is imported for it.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def code_digest(module: str, root: Path | None = None) -> str:
    """Digest a module and all modules of the package that it imports, to 16 hexadecimal digits.

    `root` is the folder that holds the package `brainit`; None: the folder of this package.
    """
    folder = root or PACKAGE.parent
    text = "".join(f"{name} {_parsed(name, folder)[0]}\n" for name in modules_of(module, folder))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def modules_of(module: str, root: Path | None = None) -> list[str]:
    """Return the modules that a module's digest covers, sorted."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_parsed(name, root or PACKAGE.parent)[1])
    return sorted(seen)


@cache
def _parsed(module: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a module's tree without docstrings, and the modules it imports."""
    tree = ast.parse(_source(module, root).read_text(encoding="utf-8"))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            if ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    own = {name for name in names if name.split(".")[0] == "brainit"}
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digest, tuple(sorted(name for name in own if _source(name, root).is_file()))


def _source(module: str, root: Path) -> Path:
    """Return the source file of a module; it may not exist."""
    base = root.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
