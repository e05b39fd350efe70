"""The one error type: a fault in what the pipeline was given, and how to mend it."""

from pathlib import Path


class PipelineError(Exception):
    """Say where something is wrong, what was expected, what was found and how to mend it.

    Raised where outside meets inside: files, settings, downloads. Anything else raised is a bug.
    """

    def __init__(self, where: Path | str, expected: str, found: str, fix: str) -> None:
        super().__init__(f"{where}: expected {expected}, found {found}. Fix: {fix}")
        self.where = str(where)
        self.expected = expected
        self.found = found
        self.fix = fix

    def __reduce__(self) -> tuple[type["PipelineError"], tuple[str, str, str, str]]:
        return (type(self), (self.where, self.expected, self.found, self.fix))
