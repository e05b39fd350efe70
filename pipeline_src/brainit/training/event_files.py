"""TensorBoard's event files of a training, beside its history and while it runs.

`tensorboard --logdir results` then shows each training under the name of its folder. The files are
for viewing alone: no step reads them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError

_PATTERN = "events.out.tfevents.*"


class EventFiles:
    """Writes the rows of a history as TensorBoard scalars into `folder`.

    Raises `PipelineError` where the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PipelineError(
                "run.tensorboard",
                "the Python package tensorboard",
                str(error),
                "run `pip install 'brainit[tensorboard]'`, or set run.tensorboard to false",
                code="not-installed",
            ) from error
        self._folder, self._writer_class = folder, SummaryWriter
        self._writer: Any = None

    def add(self, columns: Sequence[str], row: Sequence[float]) -> None:
        """Add an epoch: `row` starts with its number, `columns` name the other values.

        The first epoch of a training removes the files of an earlier one; a training that continues
        replaces what an interrupted job wrote of this epoch and later ones.
        """
        epoch, *values = row
        if self._writer is None:
            if epoch == 1:
                for path in self._folder.glob(_PATTERN):
                    path.unlink()
            self._folder.mkdir(parents=True, exist_ok=True)
            purged = None if epoch == 1 else int(epoch)
            self._writer = self._writer_class(str(self._folder), purge_step=purged)
        for name, value in zip(columns, values, strict=True):
            self._writer.add_scalar(name, value, int(epoch))
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
