"""The card's calibration: the frozen scores are of five brains and reach their aims on average."""

import numpy as np

from brainit.simulation.calibration import SEEDS, calibration


def test_the_mean_over_brains_reaches_the_aims() -> None:
    found = calibration()
    for scores in found["scores"].values():
        assert all(len(values) == len(SEEDS) for values in scores.values())
    ridge, place = found["scores"]["ridge"], found["scores"]["place_only"]
    mid, final, retrieval, _, place_final, _ = found["aims"].values()
    assert mid[0] <= np.mean(ridge["demo_resnet.mid.two_way"]) <= mid[1]
    assert final[0] <= np.mean(ridge["demo_resnet.final.two_way"]) <= final[1]
    assert np.mean(ridge["demo_resnet.mid.brain_retrieval_100way"]) >= retrieval
    assert max(place["demo_resnet.final.two_way"]) < place_final
    for hours in ("", ", 1h"):
        for metric, values in found["scores"]["ridge" + hours].items():
            assert np.mean(found["scores"]["knn" + hours][metric]) < np.mean(values), metric
