"""How hard the simulated world is, by ridge, nearest images and the place: the card's calibration.

Voxel count, ceilings and tuning were chosen so that ridge regression scores what linear decoders
score on NSD, and frozen before the demo's settings were chosen. The scores are of `subj01` alone,
all sessions, final images, one value for each of five development seeds.
"""

from typing import Any

SEEDS = (1, 2, 3, 4, 5)
AIMS: dict[str, Any] = {
    "ridge, two-way of the mid tap, percent": [93, 97],
    "ridge, two-way of the final tap, percent": [87, 93],
    "ridge, brain retrieval of 100 by the mid tap, percent, at least": 50,
    "place_only, two-way of the final tap, percent, below": 70,
    "share of test images with contents and place of a training image, at most": 0.05,
}
"""What a linear decoder scores on NSD (Brain-Diffuser, Ozcelik and VanRullen 2023: AlexNet's layers
for the mid tap, Inception and CLIP for the final one), and that nothing can be looked up."""
SCORES: dict[str, dict[str, list[float]]] = {
    "ridge": {
        "PixCorr": [0.644, 0.644, 0.653, 0.65, 0.629],
        "demo_resnet.mid.two_way": [96.1, 94.4, 94.7, 95.3, 95.2],
        "demo_resnet.final.two_way": [89.5, 87.5, 90.1, 87.8, 86.3],
        "demo_resnet.mid.brain_retrieval_100way": [48.0, 63.0, 53.0, 47.0, 53.0],
        "same_place": [88.7, 86.3, 91.0, 88.3, 85.3],
        "object_auc": [0.839, 0.855, 0.822, 0.777, 0.815],
    },
    "knn": {
        "PixCorr": [0.454, 0.438, 0.446, 0.427, 0.411],
        "demo_resnet.mid.two_way": [92.6, 94.4, 92.7, 91.2, 90.1],
        "demo_resnet.final.two_way": [96.3, 95.7, 95.3, 93.2, 94.5],
        "demo_resnet.mid.brain_retrieval_100way": [32.8, 38.7, 28.9, 22.6, 30.1],
        "same_place": [96.7, 95.7, 95.8, 92.0, 93.3],
        "object_auc": [0.889, 0.884, 0.851, 0.82, 0.851],
    },
    "place_only": {
        "PixCorr": [0.629, 0.599, 0.664, 0.627, 0.609],
        "demo_resnet.mid.two_way": [52.7, 51.5, 52.1, 52.5, 53.0],
        "demo_resnet.final.two_way": [51.2, 50.3, 50.1, 50.4, 50.5],
        "demo_resnet.mid.brain_retrieval_100way": [9.0, 12.0, 10.0, 11.0, 8.0],
        "same_place": [48.7, 49.7, 50.7, 47.0, 50.3],
        "object_auc": [0.518, 0.53, 0.502, 0.486, 0.494],
    },
}
"""Means over 100 test images by decoder and metric; object_auc and PixCorr in [0, 1], else percent.
"""


def calibration() -> dict[str, Any]:
    """Return aims, seeds and scores for the simulation's card."""
    return {"aims": AIMS, "seeds": list(SEEDS), "subject": "subj01 alone, 40h", "scores": SCORES}
