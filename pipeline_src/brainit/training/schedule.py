"""Learning-rate schedules: warm-up ramps, and a plateau rule (section D.1).

Stage 1: a cubic ramp of the factor from 1e-3 to 1 (released code), then tenfold decreases when the
validation loss stalls. Stage 2: a linear ramp, then constant.
"""

from dataclasses import dataclass

WARMUP_START = 1.0e-3


def cubic_warmup(step: int, n_steps: float) -> float:
    """Return the factor at a step (from 0): 1e-3 + (1 - 1e-3) (step / n)^3, then 1."""
    if step >= n_steps:
        return 1.0
    return WARMUP_START + (1 - WARMUP_START) * (step / n_steps) ** 3


def linear_warmup(step: int, n_steps: float) -> float:
    """Return the factor at a step (from 0): (step + 1) / n, at most 1."""
    return 1.0 if n_steps <= 0 else min(1.0, (step + 1) / n_steps)


@dataclass
class Plateau:
    """Tenfold smaller factor after more than `patience` epochs without progress.

    Progress is a loss lower than the best by more than `threshold` (absolute), as in torch's
    ReduceLROnPlateau with mode min.
    """

    patience: int
    threshold: float
    factor: float = 1.0
    best: float = float("inf")
    n_bad: int = 0

    def update(self, loss: float) -> float:
        """Take in the validation loss of an epoch; return the factor of the next."""
        if loss < self.best - self.threshold:
            self.best, self.n_bad = loss, 0
        else:
            self.n_bad += 1
        if self.n_bad > self.patience:
            self.factor *= 0.1
            self.n_bad = 0
        return self.factor
