"""What the table of peers adds: the costs of each training, and what its rows may claim."""

from collections.abc import Mapping
from pathlib import Path

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.evaluation.metrics.names import BRAIN_ASKS, IDENTIFIED, IMAGE_ASKS
from brainit.evaluation.tables.files import Block

CLAIMS = (
    "All rows: the same test images, tokens, token network and sampler, one sample, no selection"
    " by the true image. At 40 h the training trials train, repeats averaged"
    " (nsd.average_training_repeats); peers that are adapted at 40 h (LoRA and Skip-LoRA, and all"
    " of a subject new to the pool) take them one by one. With less data single trials train,"
    " those of validation images, too, as does Brain-IT's transfer to a new subject at 40 h.",
    "Training data are not equal. Brain-IT's rows, stage 1 included, also train on external"
    " images with predicted fMRI (synthesis.enabled); peers and ridge do not. Ridge sees the one"
    " subject. Brain-IT, MindEye2 and MindBridge at 40 h are one model of all subjects of the"
    " pool; with less data, and for a new subject, they are adapted from a model of the others."
    " LoRA and Skip-LoRA always is.",
    "Generator and start image. Stage 1, peers and 'ridge, semantic only': the pretrained"
    " generator, no start image. 'Ridge, combined': the pretrained one, with ridge's low-level"
    " image as the start. 'Stage 2, semantic only': the tuned one, no start image. 'Brain-IT,"
    " combined': the tuned one, with its low-level image as the start. 'Nearest training image':"
    " neither; it shows an image that was seen.",
    "Each row is compared with Brain-IT's stage 1 of the same amount of data, and with nothing"
    " where that is not run.",
    "'MindEye2's decoder': it is our implementation on these voxels with this generator, which"
    " says nothing of its published numbers. It has no low-level branch. Its tokens are samples"
    " of a prior, which costs token error.",
    "Differs from MindEye2's release: averaged repeats train at 40 h; the responses of a test"
    " image are averaged, not the backbone's tokens and the projector's features; all test images"
    " share one draw of the prior's noise; an epoch visits each example once; an image that comes"
    " twice in a batch is left out the second time.",
    "'LoRA and Skip-LoRA': details from a third party, so never 'MindTuner'; the gradient of the"
    " skips' correlation is bounded. 'MindBridge': one head for images, no text branch, and not"
    " the best of eight samples by the true image, as its release evaluates.",
    "Errors of the releases are switches (mindeye2.residual, .self_partners, .across_subjects,"
    " .transfer_bias, lora_skip.skip_gradient), corrected by default. The released backbone of"
    " MindEye2 is linear. Settings were not tuned on test images.",
    "MindEye2's published retrieval columns are swapped: in its 'image' column the image asks"
    " among the brains.",
)
"""Notes of the table."""
SEARCH_CLAIM = (
    "Rows that end in 'brain-consistent search' are not of one sample: of many samples of the row"
    " before the comma the one is kept whose response, predicted by the encoder, fits the measured"
    " test response best, round after round (brain_search; after Kneeland et al. 2023). The true"
    " image is never read. Brain-IT's rows use an encoder twice, for clusters and predicted fMRI"
    " and to choose; brain_search.encoder: half_a or half_b chooses with another one."
)
"""Note of the table where it has searched images."""
CONTRASTIVE_CLAIM = (
    "'Brain-IT with a contrastive head': the ablation `contrastive`, whose semantic BIT is trained"
    " by L2 and InfoNCE of a projector (bit_semantic.contrastive_weight); generator and start image"
    " as Brain-IT's, combined. Stage 2 drops the projector; by it asks the source 'contrastive' of"
    " the identification."
)
"""Note of the table where it has that ablation."""
TOKEN_NOTE = (
    "Retrieval by tokens: each test image's features, as the decoder predicts them, ask for the"
    " true image's tokens by cosine among those of all test images, and the other way round; no"
    " image is made. stage1: Brain-IT's tokens, calibrated where it is. MindEye2 and LoRA ask by"
    " their projector's features, the encoder by predicted responses. Intervals are over images;"
    " smaller pools are in SUBJECT/identification of the results."
)
"""Note of the tables of retrieval where they have decoders' tokens."""
OTHERS_NOTE = "Retrieval by the tokens of peers: tables retrieval and peers (`everything`)."
"""Note of T6, whose target trains no peer."""
_ROWS_OF_SECTION = {
    "mindeye2": "MindEye2, and what LoRA and Skip-LoRA starts from",
    "lora_skip": "LoRA and Skip-LoRA",
    "mindbridge": "MindBridge",
}
COST_NOTE = (
    "Costs are counts. Times depend on the machine, so they are no part of the table: `brainit"
    " costs RESULTS` shows those of each rule of a finished run, benchmarks/train_peer and"
    " benchmarks/adapt_peer in the results folder those of each training."
)
"""Note of the table where it has the costs of trainings."""
_COLUMNS = ("training", "parameters", "trained", "epochs", "examples seen")


def settings_notes(settings: Settings) -> tuple[str, ...]:
    """Return a note on the switches and sizes of each peer that are not its defaults."""
    notes, defaults = [], Settings()
    for section, rows in _ROWS_OF_SECTION.items():
        ours, theirs = getattr(settings, section), getattr(defaults, section)
        pairs = {key: (getattr(ours, key), getattr(theirs, key)) for key in type(ours).model_fields}
        changed = [f"{k} {a} (default {b})" for k, (a, b) in pairs.items() if a != b]
        notes.append(f"{rows}: {section} as by default but for {', '.join(changed) or 'nothing'}.")
    return tuple(notes)


def cost_block(histories: Mapping[str, Path]) -> Block:
    """Return the costs of trainings from their histories, by `POOL/PEER` or `SUBJECT/RUN`.

    Raises `PipelineError` for a history without them.
    """
    rows = []
    for label, path in histories.items():
        history = read_table(path, ("epoch",), "train_peer or adapt_peer")
        missing = {"n_parameters", "n_trained", "n_examples"} - set(history.columns)
        if missing:
            raise PipelineError(
                path,
                "the history of a peer, with its costs",
                f"no column {', '.join(sorted(missing))}",
                "delete it and rerun train_peer or adapt_peer",
                code="missing-data",
            )
        last = history.iloc[-1]
        numbers = (last["n_parameters"], last["n_trained"], len(history))
        seen = int(history["n_examples"].sum())
        cells = tuple(f"{int(number):,}" for number in (*numbers, seen))
        rows.append((label, *cells))
    return Block("Costs of the trainings", _COLUMNS, tuple(rows))


def identification_block(
    tables: Mapping[str, Path], heading: str = "Identification among all test images"
) -> Block:
    """Return top-1 of the largest pool and two-way, both directions, by `SUBJECT/AMOUNT/SOURCE`."""
    columns = ["source", "images"]
    for direction in (BRAIN_ASKS, IMAGE_ASKS):
        columns += [f"{direction}: top 1", "95 % interval", "two-way"]
    rows = []
    for label, path in tables.items():
        table = read_table(path, IDENTIFIED, "identify_images")
        for source, of_source in table.groupby("source", sort=False):
            cells = [f"{label.rpartition('/')[0]}, {source}", str(of_source["n_images"].iloc[0])]
            for direction in (BRAIN_ASKS, IMAGE_ASKS):
                own = of_source[of_source["direction"] == direction].sort_values("pool")
                two_way, top = own.iloc[0], own.iloc[-1]
                cells += [
                    f"{top['top1_percent']:.1f} %",
                    f"{top['ci_low']:.1f} to {top['ci_high']:.1f}",
                    f"{two_way['top1_percent']:.1f} %",
                ]
            rows.append(tuple(cells))
    return Block(heading, tuple(columns), tuple(rows))
