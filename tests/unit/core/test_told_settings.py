"""A step can read only the settings that its rule tells it."""

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import DipSettings, Settings, parse_sections

TOLD = parse_sections({"dip": {"lr": 0.1, "size": 64}, "run": {}}, step="reconstruct_lowlevel")


def test_what_was_told_is_read_and_nothing_else_is_changed() -> None:
    assert (TOLD.dip.lr, TOLD.dip.size) == (0.1, 64)
    assert (Settings().dip, DipSettings().chunk) == (DipSettings(), 16)


@pytest.mark.parametrize(
    ("read", "key"),
    [
        (lambda: TOLD.dip.chunk, "dip.chunk"),
        (lambda: TOLD.run.seed, "run.seed"),
        (lambda: TOLD.recon.batch, "recon.batch"),
        (lambda: TOLD.models, "models"),
        (lambda: getattr(TOLD.joint, "batch", 1), "joint.batch"),
        (lambda: TOLD.dip.model_copy(update={"lr": 1.0}).chunk, "dip.chunk"),
        (lambda: copy.deepcopy(TOLD).dip.chunk, "dip.chunk"),
        (lambda: pickle.loads(pickle.dumps(TOLD)).dip.chunk, "dip.chunk"),
    ],
)
def test_what_was_not_told_is_refused(read: Callable[[], object], key: str) -> None:
    with pytest.raises(PipelineError) as error:
        read()
    assert error.value.code == "undeclared-setting"
    assert key in error.value.expected and "reconstruct_lowlevel" in error.value.where


def test_a_name_that_is_no_setting_stays_a_bug() -> None:
    with pytest.raises(AttributeError):
        TOLD.dip.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_dump_is_what_was_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dumped = TOLD.model_dump(mode="json")
    assert {name: keys for name, keys in dumped.items() if keys} == {"dip": {"lr": 0.1, "size": 64}}


def test_settings_made_in_python_keep_the_papers_values() -> None:
    assert parse_sections({"dip": {"size": 64}}).dip.lr == DipSettings().lr
    assert parse_sections({}).recon == Settings().recon


@pytest.mark.parametrize(
    "nsd", [{"space": "func1pt8mm"}, {"mask": "files"}, {"mask_files": ["a.mgz"]}]
)
def test_keys_are_checked_against_each_other_only_where_all_are_told(nsd: dict) -> None:
    parse_sections({"nsd": nsd}, step="download")
    with pytest.raises(PipelineError) as error:
        parse_sections({"nsd": nsd})
    assert error.value.code == "invalid-setting"
    mask = {"space": "func1pt8mm", "mask": "algonauts", "mask_files": []}
    with pytest.raises(PipelineError) as error:
        parse_sections({"nsd": mask}, step="download")
    assert error.value.code == "invalid-setting" and "func1pt8mm" in error.value.found


def test_processes_and_accumulation_are_checked_where_both_are_told() -> None:
    parse_sections({"joint": {"processes": 3}}, step="train_joint")
    for step in (None, "train_joint"):
        with pytest.raises(PipelineError) as error:
            parse_sections({"joint": {"processes": 3, "accumulation": 4}}, step=step)
        assert error.value.code == "invalid-setting" and "3" in error.value.found


def test_each_step_is_told_unknown_keys_of_a_section() -> None:
    with pytest.raises(PipelineError) as error:
        parse_sections({"dip": {"sizes": 1}}, step="reconstruct_lowlevel")
    assert error.value.code == "invalid-setting" and "dip.sizes" in error.value.found
