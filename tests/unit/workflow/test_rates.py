"""Requests of the rules: as rehearsed where the settings are the same, else fixed amounts."""

import json

import pytest

from brainit.workflow.rates import Rate, Rates, RehearsedRequests

SETTINGS = {"joint": {"batch": 16}}


@pytest.fixture
def requests() -> RehearsedRequests:
    rate = Rate(0.5, 60.0, 41.3e9, SETTINGS, 0, 3600.0)
    rates = Rates({"train_joint": rate, "train_bit semantic": rate})
    return RehearsedRequests(rates, lambda step: lambda wildcards: json.dumps(SETTINGS))


def test_a_rehearsed_step_requests_what_was_measured(requests: RehearsedRequests) -> None:
    """A fifth more memory, in whole GB; half more time and half an hour."""
    assert requests.mem_mb("train_joint", {}, 64000) == 50_000
    assert requests.minutes("train_joint", {}, 2880) == 90 + 30


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
