"""Examples and arithmetic of the trainings of peers, for `brainit plan`.

Counts are of the published sizes: MindEye2's step of 24 examples takes 19 TFLOP, forward and
backward, nearly all of it in the prior; an example of MindBridge .005.
"""

from brainit.commands.dry_run import Job
from brainit.core.settings import Settings
from brainit.workflow.runs import BASES

RULES = ("train_peer", "adapt_peer")
_MINDEYE2_EXAMPLE, _MINDBRIDGE_EXAMPLE = 19 / 24, 0.005


def n_epochs(job: Job, settings: Settings) -> int:
    """Return the epochs of a peer's training."""
    peer, is_new = job.wildcard("peer"), job.rule == "adapt_peer"
    if peer == "lora_skip":
        return settings.lora_skip.epochs
    own = settings.mindbridge if peer == "mindbridge" else settings.mindeye2
    return own.transfer_epochs if is_new else own.epochs


def example_tflop(job: Job, settings: Settings, tokens: float) -> float:
    """Return the TFLOP of an example; `tokens` are those of an image's tokens."""
    is_mindeye2 = BASES[job.wildcard("peer")] == "mindeye2"
    own = _MINDEYE2_EXAMPLE if is_mindeye2 else _MINDBRIDGE_EXAMPLE
    return own + (0.0 if settings.features.cache_tokens else tokens)
