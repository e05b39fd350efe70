"""Claims on peers: our final images against those of each peer, paired over the same images.

A verdict is on two-way identification by the last tap. Our final images have the tuned generator
and a low-level start, a peer's neither: the claim compares whole methods. What the decoders alone
differ by, with one generator, is the comparison of stage 1 with the peer, which is no claim.
"""

from collections.abc import Iterator

import numpy as np

from brainit.evaluation.checks.comparisons import Images, Runs, last_two_way
from brainit.evaluation.checks.verdict import COMPARISON, NAN, Check, above, undecided
from brainit.workflow.runs import FULL, ONE_HOUR, PEERS, STAGE1, Run


def check_peers(runs: Runs) -> Iterator[Check]:
    """Compare with each peer that was run, at 40 h and 1 h.

    Two methods at chance differ by chance: the claim is undecided where ours is not above it.
    """
    for amount in (FULL, ONE_HOUR):
        ours = Images(amount.name)
        stage1 = Images(Run("baseline", amount, method=STAGE1).name, "semantic")
        for peer in PEERS:
            theirs = Images(Run("baseline", amount, method=peer).name, "semantic")
            yield from _claim(runs, ours, theirs)
            yield from _with_one_generator(runs, stage1, theirs)


def _claim(runs: Runs, ours: Images, theirs: Images) -> Iterator[Check]:
    metric, subjects = last_two_way(runs.metrics(theirs.run)), runs.subjects(ours, theirs)
    if metric is None or not subjects:
        return
    name = f"{ours.run}_beats_{theirs.run}"
    text = f"{_what(metric, ours, theirs, subjects, runs)}. The generators differ"
    score, chance = runs.score(metric, ours), runs.chance(metric, ours)
    if score is None or chance is None or not score.low > chance.null_p999:
        yield undecided(name, f"{ours} do not identify above chance; {text}")
        return
    yield above(name, runs.difference(metric, ours, theirs, subjects).interval, 0.0, text)


def _with_one_generator(runs: Runs, stage1: Images, theirs: Images) -> Iterator[Check]:
    metric, subjects = last_two_way(runs.metrics(theirs.run)), runs.subjects(stage1, theirs)
    if metric is None or not subjects:
        return
    found = runs.difference(metric, stage1, theirs, subjects).interval
    if not np.isfinite(found.value):
        return
    text = f"{_what(metric, stage1, theirs, subjects, runs)}. One generator, pretrained: no claim"
    name = f"{metric}_{stage1.run}_above_{theirs.run}_{theirs.kind}"
    yield Check(name, *found.ends, NAN, NAN, COMPARISON, text)


def _what(metric: str, first: Images, second: Images, subjects: tuple[str, ...], runs: Runs) -> str:
    return (
        f"{metric} of {first} minus {second} images, {', '.join(subjects)}, paired over"
        f" {runs.resampled}; above 0 the first is better"
    )
