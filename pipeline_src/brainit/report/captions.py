"""What each figure is called, what to see in it, and its text for those who cannot see it."""

from dataclasses import dataclass

_SURFACE = "voxels on fsaverage"
_TRUTH = "the truth of a simulation"


@dataclass(frozen=True)
class Caption:
    """`see` says what to look for; `alt` stands in for the picture.

    `needs` is what not every run has, without which the figure is not drawn.
    """

    title: str
    see: str
    alt: str
    needs: str = ""


CAPTIONS: dict[str, Caption] = {
    "montage": Caption(
        "Seen and reconstructed",
        "The first shared test images of the run. Compare each column with its top row: the"
        " low-level branch should keep colours and layout, the semantic branch what is there,"
        " and the fused images both. A refined row, where a refiner was run, should be sharper"
        " with the same content.",
        "Grid of images: a row of seen images, then for each subject a row of low-level, of"
        " semantic, of fused and, where a refiner was run, of refined reconstructions",
    ),
    "best_median_worst": Caption(
        "Best, median and worst",
        "Images chosen by rank alone, on the metric in the title. The worst are as much a"
        " result as the best: see whether they fail in content, in place, or in both.",
        "Grid of images in three groups, the best, the median and the worst ranked; below each"
        " seen image its low-level, semantic, fused and perhaps refined reconstruction and score",
    ),
    "data_scaling": Caption(
        "Amount of data",
        "Scores of the fused images by how much of the subject's data was used; bars are 95 %"
        " intervals over images, dashed lines chance. Transfer should lie far above training"
        " from scratch on the same hour, and rise with more data.",
        "Bar charts, one for each metric, of the score from scratch and from growing amounts of"
        " data",
    ),
    "encoder_accuracy": Caption(
        "Encoder accuracy",
        "Each dot is a voxel. The line is the most that any model can reach in expectation; a"
        " good encoder has its dots close below it.",
        "Scatter plots, one for each subject, of the correlation of predicted and measured"
        " responses against the noise ceiling of each voxel",
    ),
    "noise_ceiling_map": Caption(
        "Noise ceiling on the cortex",
        "Share of each voxel's variance that the stimulus explains, on the inflated cortex seen"
        " from behind. Where it is low, nothing can be decoded.",
        "Maps of both hemispheres from behind, one for each subject, coloured by noise ceiling",
        needs=_SURFACE,
    ),
    "cluster_map": Caption(
        "Functional clusters on the cortex",
        "Each colour is a cluster; clusters with like embeddings have like hues. The same"
        " colours should return in every subject, at like but not equal places.",
        "Maps of both hemispheres from behind, one for each subject, coloured by functional"
        " cluster",
        needs=_SURFACE,
    ),
    "clusters_by_area": Caption(
        "Clusters and areas",
        "True areas of the responsive voxels of each cluster, and how many subjects share it."
        " Dark cells mean that a cluster keeps to one area.",
        "Heat map of the share of each true area in each cluster, above bars with the number of"
        " subjects in it",
        needs=_TRUTH,
    ),
    "embedding_map": Caption(
        "Voxel embeddings",
        "Each dot is a voxel of any subject; near dots have like embeddings. Colours should"
        " form patches on the left (function is kept) and be mixed on the right (subjects share"
        " it).",
        "Two scatter plots of the same two-dimensional map of voxel embeddings, coloured by"
        " area or hemisphere and by subject",
    ),
    "attention_maps": Caption(
        "Where each cluster is read",
        "Attention that each place of the image pays to a cluster, for the most one-sided"
        " clusters. Clusters of the left hemisphere should be read on the right, and the other"
        " way round: the dots on the right then fall from left to right.",
        "Small maps of attention over the image for twelve clusters, and a scatter plot of side"
        " of attention against share of voxels in the right hemisphere",
    ),
    "query_attention": Caption(
        "Which clusters each query reads",
        "Share of attention of every query token to every cluster, mean over images, heads and"
        " blocks. Bright columns are clusters that all queries read, bright spots those of one"
        " place.",
        "Heat map of query tokens against clusters",
    ),
    "attention_cortex": Caption(
        "Contralateral reading on the cortex",
        "Side of the image at which each voxel's cluster is read: blue left, red right, white"
        " neither. The left hemisphere should be red, the right one blue, most of all in early"
        " areas.",
        "Map of both hemispheres from behind, coloured by the side of the image where the"
        " clusters are read",
        needs=_SURFACE,
    ),
    "semantic_selectivity": Caption(
        "Semantic selectivity of clusters",
        "How much more attention a cluster gets where an object of a kind stands than"
        " elsewhere. Clusters of a category area should be read at objects of their own"
        " category.",
        "Heat map of kinds of objects against clusters",
        needs=_TRUTH,
    ),
    "learning_curves": Caption(
        "Training",
        "Encoder, BITs and stage 2 of the full run and of transfer to new subjects; those of"
        " ablations and of models from scratch are not drawn. Solid lines are validation where"
        " there is one, dotted lines training; a solid line that turns away from the dotted one"
        " would mean overfitting.",
        "Line charts of losses and correlations by epoch, one for each stage",
    ),
}
"""Caption of each figure that can be drawn, in the report's order."""


def caption_of(name: str) -> Caption:
    """Return the caption of the figure `name`; one without gets its name."""
    return CAPTIONS.get(name, Caption(name.replace("_", " "), "", f"Figure {name}"))
