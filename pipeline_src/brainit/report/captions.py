"""Texts of the report: captions and alternative texts of figures, and labels of runs and kinds."""

from dataclasses import dataclass

from brainit.workflow.runs import Run

KIND_LABELS = {"lowlevel": "low-level", "semantic": "semantic", "fused": "fused"}


def run_label(name: str) -> str:
    """Return a run as text: "15 min", "1 h from scratch", "40 h k8", "first2", "1 h ridge"."""
    run = Run.parse(name)
    if run.is_of_fewer_subjects or run.is_of_other_session:
        return run.name
    parts = [run.duration.label]
    parts += ["from scratch"] if run.is_scratch else []
    parts += [run.method.replace("_", " ")] if run.is_baseline else []
    parts += [] if run.variant.is_main else run.variant.name.split("_")
    parts += ["search"] if run.is_searched else []
    return " ".join(parts)


_SURFACE = "voxels on fsaverage"
_TRUTH = "the truth of a simulation"


@dataclass(frozen=True)
class Caption:
    """`see` tells readers where to look; `alt` describes the picture to those who cannot see it.

    `needs` names an input that not every run has; without it the figure is not drawn.
    """

    title: str
    see: str
    alt: str
    needs: str = ""


CAPTIONS: dict[str, Caption] = {
    "montage": Caption(
        "Seen and reconstructed",
        "The first shared test images. Compare each column with its top row: the low-level"
        " branch should keep colours and layout, the semantic branch the content, and the fused"
        " images both. Ridge regression and nearest training images (knn) are blind baselines of"
        " the same data. With a refiner, the refined row should be sharper with the same content.",
        "Grid of images: a row of seen images, then for each subject rows of low-level,"
        " semantic, fused and, with a refiner, refined reconstructions, and of baselines",
    ),
    "best_median_worst": Caption(
        "Best, median and worst",
        "Images chosen only by their rank on the metric in the title. Look at the worst, too:"
        " do they fail in content, in layout, or in both?",
        "Grid of images in three groups: best, median and worst; below each seen image its"
        " low-level, semantic, fused and, with a refiner, refined reconstruction, and the score",
    ),
    "data_scaling": Caption(
        "Amount of data",
        "Scores of the fused images by the amount of the subject's data; error bars are 95 %"
        " intervals over images, as in the tables, and dashed lines are chance. Transfer should"
        " score far above training from scratch on the same hour, and improve with more data."
        " Ridge regression and nearest training images (knn) are blind baselines: they use the"
        " same data and no trained model.",
        "Bar charts of the score, one per metric: from scratch, then growing amounts of data, each"
        " with its blind baselines",
    ),
    "encoder_accuracy": Caption(
        "Encoder accuracy",
        "Each dot is a voxel. The line is the highest correlation that any model can expect; a"
        " good encoder has its dots just below the line.",
        "Scatter plots, one per subject: correlation of predicted and measured responses against"
        " the noise ceiling of each voxel",
    ),
    "noise_ceiling_map": Caption(
        "Noise ceiling on the cortex",
        "Share of each voxel's variance that the stimulus explains, on the inflated cortex seen"
        " from behind. Voxels with a low ceiling carry nothing to decode.",
        "Maps of both hemispheres from behind, one per subject, coloured by noise ceiling",
        needs=_SURFACE,
    ),
    "cluster_map": Caption(
        "Functional clusters on the cortex",
        "Each colour is a cluster; clusters with similar embeddings have similar hues. Every"
        " subject should show the same colours, at similar but not identical places.",
        "Maps of both hemispheres from behind, one per subject, coloured by functional cluster",
        needs=_SURFACE,
    ),
    "clusters_by_area": Caption(
        "Clusters and areas",
        "True areas of each cluster's responsive voxels, and the number of subjects that share"
        " the cluster. A dark cell means that the cluster lies in one area.",
        "Heat map of the share of each true area in each cluster; below it, bars with the number"
        " of subjects per cluster",
        needs=_TRUTH,
    ),
    "embedding_map": Caption(
        "Voxel embeddings",
        "Each dot is a voxel of some subject; close dots have similar embeddings. Colours should"
        " form patches on the left (embeddings follow function) and mix on the right (subjects"
        " share them).",
        "Two scatter plots of one two-dimensional map of voxel embeddings, coloured by area or"
        " hemisphere and by subject",
    ),
    "attention_maps": Caption(
        "Where each cluster is read",
        "Attention of each image position to a cluster, for the clusters that lie most in one"
        " hemisphere. If clusters of the left hemisphere are read on the right of the image, and"
        " the reverse, the dots in the scatter plot fall from left to right; the check"
        " attention_contralateral says whether they do beyond noise.",
        "Small maps of attention over the image for twelve clusters, and a scatter plot of the"
        " share of the right hemisphere in what a query reads against the query's position",
    ),
    "query_attention": Caption(
        "Which clusters each query reads",
        "Share of each query token's attention to each cluster, mean over images, heads and"
        " blocks. Bright columns are clusters that all queries read; bright spots are clusters"
        " read at one position.",
        "Heat map of query tokens against clusters",
    ),
    "attention_cortex": Caption(
        "Contralateral reading on the cortex",
        "Side of the image where each voxel's cluster is read: blue left, red right, white"
        " neither. Contralateral reading makes the left hemisphere red and the right one blue;"
        " see the check attention_contralateral.",
        "Map of both hemispheres from behind, coloured by the side of the image where each"
        " cluster is read",
        needs=_SURFACE,
    ),
    "semantic_selectivity": Caption(
        "Semantic selectivity of clusters",
        "How much more attention a cluster gets at objects of one category than at other"
        " objects. Clusters of a category-selective area should be read at their own category.",
        "Heat map of object categories against clusters",
        needs=_TRUTH,
    ),
    "learning_curves": Caption(
        "Training",
        "Encoder, BITs and stage 2, of the full run and of transfer to new subjects, without"
        " ablations and models from scratch. Solid lines are validation (training if there is"
        " none), dotted lines training; a solid line that rises away from the dotted one means"
        " overfitting.",
        "Line charts of losses and correlations by epoch, one per stage",
    ),
}
"""Caption of each figure that can be drawn, in the report's order."""


def caption_of(name: str) -> Caption:
    """Return the caption of the figure `name`; an unknown figure is captioned with its name."""
    return CAPTIONS.get(name, Caption(name.replace("_", " "), "", f"Figure {name}"))
