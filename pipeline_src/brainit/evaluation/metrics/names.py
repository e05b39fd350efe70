"""Names of metrics, which direction is better, and the columns of tables of scores (section 5.2).

The paper's metrics keep its names (`Alex(2)`, ...); any other is `<network>.<tap>.<quantity>`.
Quantities: two_way (percent), distance (1 - correlation), unit_distance, image_retrieval_<n>way and
brain_retrieval_<n>way (percent). Ours, on the last tap of a network, are `similar_<tap>` and, in a
simulation, `same_place` (percent) and `object_auc` (0 to 1).
"""

PAPER_NAMES: dict[tuple[str, str, str], str] = {
    ("alexnet", "features.4", "two_way"): "Alex(2)",
    ("alexnet", "features.11", "two_way"): "Alex(5)",
    ("inception_v3", "avgpool", "two_way"): "Incep",
    ("clip_vit_l14", "embedding", "two_way"): "CLIP",
    ("efficientnet_b1", "avgpool", "distance"): "Eff",
    ("swav_resnet50", "avgpool", "distance"): "SwAV",
}
"""(network, tap, quantity) of the paper's metrics."""

SAME_PLACE, OBJECT_AUC = "same_place", "object_auc"
"""Identification among other objects at the same place, and presence of objects (simulation)."""

LPIPS_NAME = "LPIPS (AlexNet)"
"""The perceptual distance, from a network that compares two images (table T6)."""

SUMMARY_COLUMNS = (
    "metric",
    "mean",
    "ci_low",
    "ci_high",
    "n_images",
    "direction",
    "null_mean",
    "null_p999",
    "null_sd",
)
"""Columns of a run's summary. `null_*`: the mean score of reconstructions shuffled against images.

`null_mean` averages over permutations (identification), over all pairs of different images (PixCorr
and distances) or over one random pairing (LPIPS). `null_p999` and `null_sd` are the 99.9th
percentile and standard deviation over permutations (identification only).
"""

NULL_COLUMNS = ("null_mean", "null_p999", "null_sd")

ENCODER_COLUMNS = (
    "part",
    "n_voxels",
    "n_images",
    "median_ceiling_pct",
    "mean_r",
    "ci_low",
    "ci_high",
    "median_r",
    "median_ci_low",
    "median_ci_high",
    "share_of_attainable",
)
"""Columns of `evaluate_encoder`'s table: a row for each part of a subject's cortex.

`ci_*` is the interval of `mean_r`, `median_ci_*` that of `median_r`.
"""

_LOWER_IS_BETTER = ("distance", "Eff", "SwAV", LPIPS_NAME)


def metric_name(network: str, tap: str, quantity: str) -> str:
    """Return the name of a metric: the paper's, or `<network>.<tap>.<quantity>`."""
    return PAPER_NAMES.get((network, tap, quantity), f"{network}.{tap}.{quantity}")


def similar_name(network: str, tap: str) -> str:
    """Return the name of the identification among similar images: `similar_final`, `similar_CLIP`.

    A published network's last tap goes by the paper's name of a metric on it, or by network and
    tap; a demo network's by its tap.
    """
    for (of_network, of_tap, _), name in PAPER_NAMES.items():
        if (of_network, of_tap) == (network, tap):
            return f"similar_{name}"
    return f"similar_{tap}" if network.startswith("demo_") else f"similar_{network}.{tap}"


def is_percent(metric: str) -> bool:
    """Return True if `metric` is an identification or a retrieval, in percent."""
    is_ours = metric == SAME_PLACE or metric.startswith("similar_")
    return is_ours or is_two_way(metric) or is_retrieval(metric)


def is_retrieval(metric: str) -> bool:
    """Return True if `metric` is a retrieval, either way."""
    return "_retrieval_" in metric


def direction_of(metric: str) -> str:
    """Return "lower" if lower values of `metric` are better, else "higher"."""
    is_lower = metric.endswith(_LOWER_IS_BETTER) and not metric.startswith("similar_")
    return "lower" if is_lower else "higher"


def is_two_way(metric: str) -> bool:
    """Return True if `metric` is a two-way identification, in percent."""
    return metric.endswith(".two_way") or metric in ("Alex(2)", "Alex(5)", "Incep", "CLIP")


BRAIN_ASKS, IMAGE_ASKS = "brain asks among images", "image asks among brains"
"""Directions of identification."""
IDENTIFIED = (
    "source",
    "direction",
    "pool",
    "n_images",
    "top1_percent",
    "ci_low",
    "ci_high",
    "chance_percent",
    "median_rank",
)
"""Columns of a table of identification."""
