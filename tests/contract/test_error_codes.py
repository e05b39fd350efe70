"""Every error of the package has a literal code of `CODES`, and every code is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainit.core.errors import CODES, PipelineError

DEFINITION = "core/errors.py"
"""The one file that passes a code on: `PipelineError.__reduce__` needs it."""


def codes_of(source: str) -> Iterator[tuple[int, str | None]]:
    """Yield line and code of each `PipelineError(...)`; None if it is not written out there.

    One of two literals, `"a" if ... else "b"`, counts as both.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if "PipelineError" in (name, getattr(node.func, "id", "")):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            (value,) = given or [ast.Constant(None)]
            for part in [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]:
                is_literal = isinstance(part, ast.Constant) and isinstance(part.value, str)
                yield node.lineno, part.value if is_literal else None


def package_codes(repository: Path) -> dict[str, list[tuple[int, str | None]]]:
    """Return line and code of each error of the package, by path below `brainit`."""
    package = repository / "pipeline_src" / "brainit"
    paths = sorted(package.rglob("*.py"))
    assert len(paths) > 100
    found = {
        path.relative_to(package).as_posix(): list(codes_of(path.read_text(encoding="utf-8")))
        for path in paths
    }
    assert found.pop(DEFINITION) == [(_line_of_rebuild(package / DEFINITION), None)]
    return found


def _line_of_rebuild(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if "return PipelineError(" in line)


def test_every_error_has_a_literal_code(repository: Path) -> None:
    faults = [
        f"{path}:{line}: code {code}"
        for path, errors in package_codes(repository).items()
        for line, code in errors
        if code not in CODES
    ]
    assert not faults, "give each a literal code of brainit.core.errors.CODES"


def test_every_code_is_used(repository: Path) -> None:
    used = {code for errors in package_codes(repository).values() for _, code in errors if code}
    assert used <= set(CODES)
    assert not set(CODES) - used, "remove these codes, or give them to errors"


def test_no_other_class_is_a_pipeline_error(repository: Path) -> None:
    """A subclass would hide its errors from the tests above."""
    for path in (repository / "pipeline_src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert "PipelineError" not in [ast.unparse(base) for base in node.bases], path


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("raise PipelineError('a', 'b', 'c', 'd', code='leak')", "leak"),
        ("return errors.PipelineError('a', 'b', 'c', 'd', code='leak')", "leak"),
        ("raise PipelineError('a', 'b', 'c', 'd', code='leak' if x else 'leak')", "leak"),
        ("raise PipelineError('a', 'b', 'c', 'd')", None),
        ("raise PipelineError('a', 'b', 'c', 'd', code=kind)", None),
        ("raise PipelineError('a', 'b', 'c', 'd', **words)", None),
    ],
)
def test_each_way_to_make_an_error_is_seen(source: str, code: str | None) -> None:
    assert set(codes_of(f"def f():\n    {source}")) == {(2, code)}


def test_codes_are_short_names_with_a_meaning() -> None:
    for code, meaning in CODES.items():
        assert code == code.lower() and " " not in code and len(code) <= 24
        assert meaning and len(meaning) <= 80


def test_an_error_survives_pickling_with_its_code() -> None:
    """Errors cross process borders: pools of workers pickle them."""
    error = PipelineError(Path("a.npy"), "4 rows", "3", "run it again", code="wrong-shape")
    rebuild, arguments = error.__reduce__()
    assert callable(rebuild)
    again = rebuild(*arguments)
    assert isinstance(again, PipelineError) and str(again) == str(error)
    assert again.code == "wrong-shape" and again.where == "a.npy"
