"""Requests of the rules: as rehearsed where the settings are the same, else fixed amounts."""

import errno
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.workflow.rates import RATES_NAME, Rate, Rates, RehearsedRequests

SETTINGS = {"joint": {"batch": 16}}


@pytest.fixture
def requests() -> RehearsedRequests:
    return of_settings(SETTINGS, "a card")


def of_settings(settings: dict[str, Any], device: str) -> RehearsedRequests:
    """Return the requests of jobs that were rehearsed under these settings on a device."""
    rate = Rate(0.5, 60.0, 41.3e9, settings, 0, 3600.0)
    rates = Rates({"train_joint": rate, "train_bit semantic": rate}, device)
    return RehearsedRequests(rates, lambda step: lambda wildcards: json.dumps(settings))


def test_a_rehearsed_step_requests_what_was_measured(requests: RehearsedRequests) -> None:
    """A fifth more memory, in whole GB; half more time and half an hour."""
    assert requests.mem_mb("train_joint", {}, 32000) == 50_000
    assert requests.minutes("train_joint", {}, 2880) == 90 + 30


def test_memory_is_never_less_than_the_rule_s(requests: RehearsedRequests) -> None:
    """A rehearsal has few images and may be cut off, so its peak is a lower bound."""
    assert requests.mem_mb("train_joint", {}, 64000) == 64_000


def test_rates_of_a_cpu_are_not_for_gpu_jobs() -> None:
    of_auto = of_settings({"run": {"device": "auto"}}, "cpu")
    assert of_auto.mem_mb("train_joint", {}, 32000) == 32_000
    assert of_auto.minutes("train_joint", {}, 2880) == 2880
    of_cpu = of_settings({"run": {"device": "cpu"}}, "cpu")
    assert of_cpu.mem_mb("train_joint", {}, 32000) == 50_000
    assert of_cpu.minutes("train_joint", {}, 2880) == 90 + 30


def test_processes_share_the_projected_time() -> None:
    """A minute besides, and 59 minutes of units for four."""
    of_four = of_settings({"joint": {"processes": 4}}, "a card")
    assert of_four.minutes("train_joint", {}, 2880) == math.ceil(1.5 * (1 + 59 / 4)) + 30


def test_rates_hold_for_one_form_of_the_tokens(requests: RehearsedRequests) -> None:
    """Computed when needed, as here, an example takes many times as long as with cached ones."""
    semantic = {"kind": "semantic"}
    for features in ({"cache_tokens": True, "token_bits": 8}, {"cache_tokens": False}):
        other = replace(requests, features=features)
        minutes = other.minutes("train_bit_{kind}", semantic, 1440)
        assert minutes == (1440 if features["cache_tokens"] else 90 + 30)
        assert other.minutes("train_joint", {}, 2880) == 90 + 30, "reads no tokens"


def test_rates_hold_with_or_without_cached_latents(requests: RehearsedRequests) -> None:
    cached = replace(requests, features={"cache_latents": True})
    assert cached.minutes("train_joint", {}, 2880) == 2880
    assert cached.minutes("train_bit_{kind}", {"kind": "semantic"}, 1440) == 90 + 30


def test_a_file_that_the_machine_cannot_read_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "stale")

    (tmp_path / RATES_NAME).write_text("{}")
    for method in ("read_text", "is_file"):
        with monkeypatch.context() as patched, pytest.raises(PipelineError) as error:
            patched.setattr(Path, method, lost)
            Rates.of(tmp_path)
        assert error.value.code == "machine" and RATES_NAME in str(error.value)


def test_a_kind_has_its_own_rate(requests: RehearsedRequests) -> None:
    semantic, lowlevel = {"kind": "semantic"}, {"kind": "lowlevel"}
    assert requests.mem_mb("train_bit_{kind}", semantic, 32000) == 50_000
    assert requests.mem_mb("train_bit_{kind}", lowlevel, 32000) == 32_000
    assert requests.minutes("train_bit_{kind}", lowlevel, 1440) == 1440


def test_other_settings_keep_the_rule_s_amounts(requests: RehearsedRequests) -> None:
    other = RehearsedRequests(requests.rates, lambda step: lambda wildcards: '{"joint": {}}')
    assert other.mem_mb("train_joint", {}, 64000) == 64_000
    assert other.minutes("train_joint", {}, 2880) == 2880
    assert RehearsedRequests(Rates(), requests.settings).mem_mb("train_joint", {}, 7) == 7
