"""The error boundary and the parsing that all steps share."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.core.cli import (
    Connections,
    guarded,
    named_paths,
    read_settings,
    step_parser,
)
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings


def fails(argv: Sequence[str] | None) -> None:
    raise PipelineError("a.txt", "1 line", "2", "cut it", code="wrong-shape")


def test_pipeline_error_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(fails) == 2
    assert capsys.readouterr().err == "ERROR: a.txt: expected 1 line, found 2. Fix: cut it\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINIT_DEBUG", "1")
    with pytest.raises(PipelineError):
        guarded(fails)


def test_bugs_pass_through() -> None:
    def bug(argv: Sequence[str] | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(bug)


def test_named_paths() -> None:
    assert named_paths(["b=x=1", "a=y"]) == {"b": Path("x=1"), "a": Path("y")}
    with refused("invalid-argument", "NAME=PATH", "x.npy"):
        named_paths(["x.npy"])


def settings_of(text: str, step: str = "evaluate") -> Settings:
    return read_settings(step_parser(step, "").parse_args(["--settings", text]))


def test_settings_json() -> None:
    assert settings_of('{"dip": {"iterations": 7}}').dip.iterations == 7
    with pytest.raises(PipelineError) as error:
        settings_of("{dip: 7")
    assert error.value.code == "invalid-argument"


def test_connections_of_the_command_come_before_those_of_the_settings() -> None:
    parser = step_parser("download", "", Connections)
    given = ["--settings", '{"nsd": {"connections": 3, "accept_terms": true}}']
    assert read_settings(parser.parse_args(given)).nsd.connections == 3
    told = read_settings(parser.parse_args([*given, "--connections", "5"]))
    assert told.nsd.connections == 5 and told.nsd.accept_terms
    with pytest.raises(PipelineError) as error:
        read_settings(parser.parse_args([*given, "--connections", "0"]))
    assert error.value.code == "invalid-setting" and "nsd.connections" in str(error.value)
    bare = parser.parse_args(["--settings", "{}", "--connections", "5"])
    assert read_settings(bare).nsd.connections == 5
