"""The package never unpickles a file: which calls its code may use to open one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""Calls that unpickle by default, and the argument that prevents it."""

REFUSED = {
    "builtins.eval",
    "builtins.exec",
    "dill.load",
    "dill.loads",
    "joblib.load",
    "marshal.load",
    "marshal.loads",
    "pandas.read_pickle",
    "pickle.Unpickler",
    "pickle.load",
    "pickle.loads",
    "runpy.run_path",
    "shelve.open",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "yaml.full_load",
    "yaml.load",
    "yaml.unsafe_load",
}
LOADERS_OF_LIBRARIES = {"from_pretrained", "from_single_file", "load_checkpoint", "read_pickle"}
"""Methods of libraries that open checkpoints and may unpickle."""


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Map each name that a module imports to its full name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name.split(".")[0]: a.asname and a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return {name: full or name for name, full in found.items()}


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name of an expression `a.b.c`; empty for any other expression."""
    if isinstance(node, ast.Name):
        plain = f"builtins.{node.id}" if node.id in ("eval", "exec") else node.id
        return names.get(node.id, plain)
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value, names)}.{node.attr}"
    return ""


def unsafe_uses(source: str) -> Iterator[str]:
    """Yield each call, or base class, in the source that may run code from a file."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {full_name(base, names) for base in node.bases}
            yield from bases & REFUSED
        if not isinstance(node, ast.Call):
            continue
        called = full_name(node.func, names)
        argument, value = NEEDED.get(called, ("", None))
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        is_loose = argument and given.get(argument) is not value
        if is_loose or called in REFUSED or called.rpartition(".")[2] in LOADERS_OF_LIBRARIES:
            yield called


def test_the_package_has_one_unpickler_which_imports_and_calls_nothing(repository: Path) -> None:
    """The unpickler itself is tested in `tests/unit/features/test_checkpoint_reader.py`."""
    paths = sorted((repository / "pipeline_src").rglob("*.py"))
    assert len(paths) > 100
    found = {path.name: list(unsafe_uses(path.read_text(encoding="utf-8"))) for path in paths}
    assert {name: calls for name, calls in found.items() if calls} == {
        "tensor_pickle.py": ["pickle.Unpickler"]
    }


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch.load('x')",
        "import torch; torch.load('x', weights_only=False)",
        "from torch import load as get; get('x')",
        "import numpy as np; np.load('x')",
        "import numpy as np; np.load('x', allow_pickle=True)",
        "import pickle as p; p.loads(b'')",
        "from joblib import load; load('x')",
        "import torch; torch.jit.load('x')",
        "import yaml; yaml.load('x', yaml.Loader)",
        "Model.from_pretrained('x')",
        "eval('x')",
        "import pickle\nclass Own(pickle.Unpickler): pass",
    ],
)
def test_each_way_to_unpickle_is_seen(line: str) -> None:
    assert list(unsafe_uses(line))


def test_harmless_calls_are_allowed() -> None:
    lines = (
        "import numpy as np, torch, yaml, json",
        "np.load('x', allow_pickle=False)",
        "torch.load('x', weights_only=True)",
        "yaml.safe_load('x'), json.load(x), model.eval(), model.load('x')",
    )
    assert not list(unsafe_uses("\n".join(lines)))
