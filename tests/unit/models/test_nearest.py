"""Nearest neighbours: plain loops, ties, and responses without variance."""

import numpy as np
import pytest

from brainit.core.streams import numpy_generator
from brainit.models.baselines.nearest import correlations, nearest_rows


def test_correlations_and_ranks_are_those_of_plain_loops() -> None:
    generator = numpy_generator(4, "nearest")
    betas, training = generator.standard_normal((5, 30)), generator.standard_normal((12, 30))
    found = correlations(betas.astype(np.float16), training)
    ranked = nearest_rows(betas, training, 3)
    for row, response in enumerate(betas):
        expected = [np.corrcoef(response, other)[0, 1] for other in training]
        np.testing.assert_allclose(found[row], expected, atol=2e-3)
        assert ranked[row].tolist() == np.argsort(expected)[::-1][:3].tolist()


def test_the_first_of_equal_rows_comes_first() -> None:
    training = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 3.0], [3.0, 2.0, 1.0]])
    assert nearest_rows(training[:1] * 5 - 2, training, 3).tolist() == [[0, 1, 2]]


def test_a_constant_response_correlates_with_none() -> None:
    found = correlations(np.ones((1, 4)), np.eye(4))
    assert found.tolist() == [[pytest.approx(0.0)] * 4]
