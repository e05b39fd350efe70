"""Where an interrupted epoch continues: after which batch, and with which random numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor


class EpochPosition:
    """The generator of an epoch's draws, and where the epoch is taken up.

    An epoch first draws its order from the generator, then each batch draws from it. An interrupted
    epoch draws its order again, then `enter` puts all generators where they stood.

    Parameters
    ----------
    generator
        Generator of the epoch, at its start.
    n_done
        Batches that an earlier process has done.
    states
        What `states` returned after them; torch's global generators (dropout) are part of it.
    """

    def __init__(
        self,
        generator: torch.Generator,
        n_done: int = 0,
        states: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.generator, self.n_done, self._left = generator, n_done, dict(states or {})

    def enter(self) -> int:
        """Return the first batch to do (from 0); call it once the epoch's order is drawn."""
        if "epoch" in self._left:
            self.generator.set_state(self._left["epoch"])
        if "cpu" in self._left:
            torch.set_rng_state(self._left["cpu"])
        if "cuda" in self._left:
            torch.cuda.set_rng_state(self._left["cuda"])
        return self.n_done

    def states(self) -> dict[str, Tensor]:
        """Return the states of all generators that a batch may draw from."""
        found = {"epoch": self.generator.get_state(), "cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            found["cuda"] = torch.cuda.get_rng_state()
        return found
