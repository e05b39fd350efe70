"""The one error type: location, expectation, finding and fix."""

from pathlib import Path

CODES = {
    "missing-file": "a file or folder does not exist",
    "damaged-file": "a file is truncated, or its content is proven corrupt",
    "wrong-kind": "a file is of another kind or format than its name or flag says",
    "wrong-shape": "an array has other axes, another length or another dtype than expected",
    "bad-values": "values are not finite, constant, or outside their range",
    "missing-data": "a file lacks a dataset, column, row or attribute",
    "inconsistent-inputs": "two inputs disagree with each other",
    "duplicate-data": "the same data appear under two names",
    "leak": "test data appear among training data",
    "wrong-settings": "a file was made with different settings, inputs or code",
    "invalid-setting": "a setting is unknown or has an invalid value",
    "undeclared-setting": "a step reads a setting that its rule does not pass",
    "invalid-argument": "a command-line argument or function argument is invalid",
    "unknown-name": "a subject, run, network or table of this name does not exist",
    "not-converged": "a training or fit did not reach a finite result",
    "out-of-memory": "the device or the host has too little memory",
    "no-device": "the device that the settings name does not exist",
    "not-installed": "a program or package is missing",
    "terms": "the terms of a data set were not accepted",
    "network": "a server cannot be reached or refuses the request",
    "checksum": "a fetched file is not the published one",
    "locked": "another job is writing the same output",
    "machine": "the operating system refused an operation",
    "unsafe-file": "a file would run code when loaded",
}
"""Code of each kind of fault, and its meaning. Messages may change; codes do not."""


class PipelineError(Exception):
    """A fault in an input of the pipeline: where it is, and how to fix it.

    `code` is a key of `CODES`; programs and tests rely on it, not on the wording. Raise it where
    external data enter: files, settings, downloads. Any other exception is a bug.
    """

    def __init__(
        self, where: Path | str, expected: str, found: str, fix: str, *, code: str
    ) -> None:
        super().__init__(f"{where}: expected {expected}, found {found}. Fix: {fix}")
        self.where = str(where)
        self.expected = expected
        self.found = found
        self.fix = fix
        self.code = code

    def __reduce__(self) -> tuple[object, tuple[str, str, str, str, str]]:
        return (_rebuilt, (self.where, self.expected, self.found, self.fix, self.code))


def _rebuilt(where: str, expected: str, found: str, fix: str, code: str) -> PipelineError:
    return PipelineError(where, expected, found, fix, code=code)
