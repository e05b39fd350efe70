"""The device on which a run computes."""

import pytest
import torch

from brainit.core.device import run_device
from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections


def test_device_is_the_settings() -> None:
    assert run_device(parse_sections({"run": {"device": "cpu"}})).type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(PipelineError) as error:
            run_device(parse_sections({"run": {"device": "cuda"}}))
        assert error.value.code == "no-device"
        assert error.value.where == "run.device" and "CUDA" in error.value.expected
