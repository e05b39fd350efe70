"""What is kept of parsed modules: the digest with it equals the digest without."""

from pathlib import Path

import pytest

from brainit.steps import STEPS
from brainit.workflow import parsed_modules
from brainit.workflow.digest import PACKAGE, Code
from brainit.workflow.parsed_modules import ParsedModules


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of texts that are parsed from now on."""
    from brainit.workflow import digest

    texts: list[str] = []
    parse = digest._parsed.__wrapped__

    def parsed(text: str) -> digest.Module:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr(digest, "_parsed", parsed)
    return texts


def lines(folder: Path, *steps: str) -> list[str]:
    code = Code(PACKAGE.parent, ParsedModules(folder))
    return code.covered(*(f"brainit.steps.{step}" for step in steps))


def test_a_second_process_parses_nothing_and_finds_the_same(
    tmp_path: Path, counted: list[str]
) -> None:
    expected = Code(PACKAGE.parent).covered(*(f"brainit.steps.{step}" for step in STEPS))
    counted.clear()
    assert lines(tmp_path, *STEPS) == expected
    assert counted
    counted.clear()
    assert lines(tmp_path, *STEPS) == expected
    assert counted == []


def test_a_value_holds_for_its_text_alone(tmp_path: Path) -> None:
    kept = ParsedModules(tmp_path)
    kept.put("a", "x = 1", [1])
    kept.save()
    again = ParsedModules(tmp_path)
    assert again.get("a", "x = 1") == [1]
    assert again.get("a", "x = 2") is None and again.get("b", "x = 1") is None


def test_other_code_of_the_digest_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ParsedModules(tmp_path)
    kept.put("a", "x = 1", [1])
    kept.save()
    monkeypatch.setattr(parsed_modules, "_MAKERS", ("digest.py",))
    assert ParsedModules(tmp_path).get("a", "x = 1") is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"made_by": 1}'])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: str) -> None:
    found = lines(tmp_path, "train_bit")
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert lines(tmp_path, "train_bit") == found
    assert len(path.read_text()) > len(content)


def test_a_folder_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert lines(tmp_path / "file" / "below", "train_bit") == lines(tmp_path, "train_bit")
