"""The device on which a run computes."""

import pytest
import torch

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections


@pytest.mark.parametrize(
    ("tf32", "in_convolutions", "in_all"),
    [
        (None, True, False),
        ("off", False, False),
        ("convolutions", True, False),
        ("all", True, True),
    ],
)
def test_tf32_is_the_settings(
    monkeypatch: pytest.MonkeyPatch, tf32: str | None, in_convolutions: bool, in_all: bool
) -> None:
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        assert run_device(parse_sections({"run": {"tf32": tf32} if tf32 else {}})).type == "cuda"
        assert (convolutions.allow_tf32, products.allow_tf32) == (in_convolutions, in_all)
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def test_device_is_the_settings() -> None:
    assert run_device(parse_sections({"run": {"device": "cpu"}})).type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(PipelineError) as error:
            run_device(parse_sections({"run": {"device": "cuda"}}))
        assert error.value.code == "no-device"
        assert error.value.where == "run.device" and "CUDA" in error.value.expected
