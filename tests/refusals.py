"""Refusals in tests: the error's code and the facts in its message, not its wording."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from brainit.core.errors import CODES, PipelineError


@contextmanager
def refused(code: str, *facts: str) -> Iterator[None]:
    """Expect a `PipelineError` of this code whose message contains the facts."""
    assert code in CODES
    with pytest.raises(PipelineError) as error:
        yield
    assert error.value.code == code, str(error.value)
    for fact in facts:
        assert fact in str(error.value)
