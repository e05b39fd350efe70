"""The tests see every wrong shape, also where a conftest.py imports the package first."""

import pytest
import torch
from jaxtyping import TypeCheckError

from brainit.features.vgg import maps_to_tokens


def test_a_shape_that_contradicts_its_signature_is_refused() -> None:
    """The module is one that the conftest.py beside this file has imported."""
    with pytest.raises(TypeCheckError, match="maps_to_tokens"):
        maps_to_tokens([torch.zeros(2, 3, 4)])
