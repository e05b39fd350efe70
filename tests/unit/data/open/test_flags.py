"""Flags of `brainit import-subject`: those without effect are refused, before anything is read."""

import argparse
from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.commands import import_open
from brainit.commands.program import build_parser, run


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("mosaic s3://x --sessions 1-3", ("--sessions", "laion")),
        ("mosaic s3://x --mask a.npy --mask b.npy", ("--mask", "found 2")),
        ("mosaic s3://x --split ood", ("--split",)),
        ("glmsingle betas --test-repeats 3", ("--test-repeats", "laion, mosaic")),
        ("bold5000 folder --mask V1", ("--mask",)),
        ("bold5000 folder --images folder", ("--images", "god")),
        ("miyawaki2008 file --subject sub-01", ("--subject",)),
        ("god file --accept-terms", ("--accept-terms",)),
        ("laion s3://x --stimuli table.tsv", ("--stimuli", "mosaic")),
        ("laion s3://x --test-repeats 0", ("--test-repeats", "1 or more")),
        ("mosaic s3://x --test-repeats -2", ("--test-repeats", "found -2")),
        ("laion s3://x --connections 0", ("--connections",)),
    ],
)
def test_flags_without_effect(words: str, facts: tuple[str, ...], tmp_path: Path) -> None:
    name, source, *flags = words.split()
    with refused("invalid-argument", *facts):
        run(["import-subject", name, source, str(tmp_path / "sub"), *flags])
    assert list(tmp_path.iterdir()) == []


def test_each_flag_has_its_formats() -> None:
    parser = argparse.ArgumentParser()
    import_open.add_flags(parser)
    flags = {action.dest for action in parser._actions} - {"help", "plan", "bandwidth"}
    assert flags | {"subject", "images"} == set(import_open._USED_BY)


def test_a_default_that_is_given_is_no_fault() -> None:
    words = ["import-subject", "bold5000", "source", "folder", "--split", "tau"]
    args = build_parser("import-subject").parse_args(words)
    import_open.require_used(args.run.args[0], args)
