"""The design of the simulated experiment: which subject sees which image when, as in NSD.

Each subject has its own images and the shared images, each shown three times. The order is the same
for all subjects, as indices into their lists. A session has twelve runs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.settings import SimulationSettings

N_RUNS = 12
TRIALS_OF_RUN = 75


@dataclass(frozen=True)
class Design:
    """NSD's design arrays; image ids and list places are 0-based here, 1-based in the files.

    `shared`: ascending ids; `own` (subjects, images): ids; `order` (trials,): index into a
    subject's list (shared images first); `trials_of_run` (12,): trials of each run of a session.
    """

    shared: NDArray[np.int64]
    own: NDArray[np.int64]
    order: NDArray[np.int64]
    trials_of_run: NDArray[np.int64]
    n_images: int

    @property
    def lists(self) -> NDArray[np.int64]:
        """Each subject's list of ids, shared images first: (subjects, images)."""
        shared = np.broadcast_to(self.shared, (len(self.own), len(self.shared)))
        return np.concatenate([shared, self.own], axis=1)

    @property
    def trials_per_session(self) -> int:
        """Trials of one session."""
        return int(self.trials_of_run.sum())

    @property
    def n_sessions(self) -> int:
        """Sessions of each subject."""
        return len(self.order) // self.trials_per_session

    def nsd_ids(self, number: int) -> NDArray[np.int64]:
        """Return the image of each trial of subject `number` (from 0), in time order."""
        return self.lists[number][self.order]


def draw_design(
    sizes: SimulationSettings, n_subjects: int, generator: np.random.Generator
) -> Design:
    """Draw ids, lists and order; raises `PipelineError` where trials do not fill whole sessions."""
    n_list = sizes.n_own_images + sizes.n_shared_images
    n_trials = n_list * sizes.n_repeats
    if n_trials % sizes.trials_per_session:
        raise PipelineError(
            "simulation.trials_per_session",
            f"a divisor of the {n_trials} trials of a subject",
            str(sizes.trials_per_session),
            f"set simulation.trials_per_session to a divisor of {n_trials}",
            code="invalid-setting",
        )
    per_run, rest = divmod(sizes.trials_per_session, N_RUNS)
    if per_run + (rest > 0) > TRIALS_OF_RUN:
        found = str(sizes.trials_per_session)
        raise PipelineError(
            "simulation.trials_per_session",
            "at most 900",
            found,
            f"set simulation.trials_per_session to at most {N_RUNS * TRIALS_OF_RUN}",
            code="invalid-setting",
        )
    # Runs alternate between one trial more and one less, as NSD's runs of 63 and 62 trials.
    longer = np.argsort(np.arange(N_RUNS) % 2, kind="stable")[:rest]
    trials_of_run = np.full(N_RUNS, per_run)
    trials_of_run[longer] += 1
    n_images = sizes.n_shared_images + n_subjects * sizes.n_own_images
    ids = generator.permutation(n_images)
    shared = np.sort(ids[: sizes.n_shared_images])
    unshared = np.sort(ids[sizes.n_shared_images :].reshape(n_subjects, sizes.n_own_images), axis=1)
    order = generator.permutation(np.repeat(np.arange(n_list), sizes.n_repeats))
    return Design(shared, unshared, order, trials_of_run, n_images)


def stimulus_pattern(design: Design) -> NDArray[np.uint8]:
    """Return (sessions, runs, 75): 1 where a run's slot shows an image."""
    pattern = np.zeros((design.n_sessions, N_RUNS, TRIALS_OF_RUN), dtype=np.uint8)
    for run, n_trials in enumerate(design.trials_of_run):
        pattern[:, run, :n_trials] = 1
    return pattern
