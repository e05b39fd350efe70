"""A step's digest changes with the code of every module that it imports, and with nothing else."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

MODULES = {
    "__init__": "",
    "steps": '"""Run."""\nfrom brainit.models import net\n',
    "models/__init__": "",
    "models/net": "import brainit.losses\n",
    "losses": 'def loss(x):\n    """Return it."""\n    return x\n',
    "other": "import brainit.losses\nlimit = 1\n",
}


def digest(repository: Path, package: Path, module: str) -> str:
    """Return the digest that the workflow's own functions give."""
    text = (repository / "workflow/rules/common.smk").read_text(encoding="utf-8")
    start, stop = (
        text.index("@lru_cache(maxsize=None)\ndef code_digest"),
        text.index("def network("),
    )
    names: dict[str, Any] = {"ast": ast, "hashlib": hashlib, "lru_cache": lru_cache}
    names["PACKAGE"] = package
    exec(text[start:stop], names)  # noqa: S102 - the rules are no module that could be imported
    return names["code_digest"](module)


@pytest.mark.parametrize(
    ("module", "code", "is_changed"),
    [
        ("losses", "def loss(x):\n    return x + 1\n", True),
        ("models/net", "import brainit.losses\nwidth = 2\n", True),
        ("losses", '# new\ndef loss(x):\n    """Return x."""\n    return x\n', False),
        ("other", "limit = 2\n", False),
    ],
)
def test_digest_follows_imports(
    repository: Path, tmp_path: Path, module: str, code: str, is_changed: bool
) -> None:
    package = tmp_path / "brainit"
    for name, text in MODULES.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    before = digest(repository, package, "brainit.steps")
    (package / f"{module}.py").write_text(code, encoding="utf-8")
    assert (digest(repository, package, "brainit.steps") != before) == is_changed
