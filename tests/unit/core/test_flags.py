"""Flags derived from dataclasses: names, types, defaults and help."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from brainit.core.cli import add_flags, from_args, step_parser
from brainit.core.errors import PipelineError


@dataclass(frozen=True)
class Outputs:
    """Outputs of a step."""

    per_image: Path
    """Scores of 100 % of the images."""


@dataclass(frozen=True)
class Inputs:
    """One field of each type that flags know."""

    subject: str
    seed: int
    betas: Mapping[str, Path]
    tables: tuple[Path, ...]
    kind: Literal["lowlevel", "semantic"]
    weights_dir: Path | None = field(default=None, metadata={"flag": "weights"})
    """Folder of published weights,
    100 % of them.
    """
    external: Path | None = None
    hours: float = 10.0
    atlas: Sequence[Path] = ()
    synthetic: dict[str, Path] = field(default_factory=dict)
    is_dry: bool = False


GIVEN = [
    *["--subject", "subj01", "--seed", "7", "--betas", "subj02=b=1.npy", "subj01=a.npy"],
    *["--tables", "t1", "t2", "--kind", "lowlevel"],
]


def parsed(*words: str) -> Inputs:
    parser = argparse.ArgumentParser()
    add_flags(parser, Inputs)
    return from_args(Inputs, parser.parse_args([*GIVEN, *words]))


def test_values_have_the_types_of_their_fields() -> None:
    found = parsed()
    assert found == Inputs(
        subject="subj01",
        seed=7,
        betas={"subj02": Path("b=1.npy"), "subj01": Path("a.npy")},
        tables=(Path("t1"), Path("t2")),
        kind="lowlevel",
    )
    assert list(found.betas) == ["subj02", "subj01"], "in the order given"


def test_given_values_come_before_defaults() -> None:
    words = ["--weights", "w", "--external", "e", "--hours", "0.5", "--atlas", "l", "r"]
    found = parsed(*words, "--synthetic", "subj01=s", "--is-dry")
    assert (found.weights_dir, found.external, found.hours) == (Path("w"), Path("e"), 0.5)
    assert found.atlas == (Path("l"), Path("r")) and found.is_dry
    assert found.synthetic == {"subj01": Path("s")}
    none = parsed("--synthetic", "--atlas")
    assert none.synthetic == {} and none.atlas == ()


@pytest.mark.parametrize("flag", ["--subject", "--seed", "--betas", "--tables", "--kind"])
def test_a_field_without_default_is_required(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Inputs)
    start = GIVEN.index(flag)
    stop = next((i for i in range(start + 1, len(GIVEN)) if GIVEN[i][:2] == "--"), len(GIVEN))
    with pytest.raises(SystemExit):
        parser.parse_args(GIVEN[:start] + GIVEN[stop:])
    assert flag in capsys.readouterr().err


def test_other_values_are_refused() -> None:
    with pytest.raises(SystemExit):
        parsed("--kind", "fused")
    with pytest.raises(SystemExit):
        parsed("--hours", "ten")
    with pytest.raises(PipelineError) as error:
        parsed("--synthetic", "subj01")
    assert error.value.code == "invalid-argument" and "subj01" in str(error.value)


def test_the_help_is_the_fields_docstring() -> None:
    text = " ".join(step_parser("evaluate", "", Inputs, Outputs).format_help().split())
    assert "--weights WEIGHTS Folder of published weights, 100 % of them." in text
    assert "--per-image PER_IMAGE Scores of 100 % of the images." in text and "--settings" in text


def test_the_help_of_an_inherited_field_is_its_docstring() -> None:
    @dataclass(frozen=True)
    class More(Inputs):
        pass

    text = " ".join(step_parser("evaluate", "", More).format_help().split())
    assert "--weights WEIGHTS Folder of published weights, 100 % of them." in text


def test_a_field_of_another_type_is_a_bug() -> None:
    @dataclass
    class Odd:
        values: complex

    with pytest.raises(TypeError, match="complex"):
        add_flags(argparse.ArgumentParser(), Odd)
