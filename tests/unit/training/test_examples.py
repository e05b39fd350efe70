"""An epoch's examples: each once, its own rows, its own voxels."""

from collections import Counter

import numpy as np
import pytest
import torch
from tests.unit.training.tiny_examples import N_EXTERNAL

from brainit.core.settings import Stage1Settings
from brainit.data.fmri import FmriPool
from brainit.training.examples import ExampleSource, VoxelDropout
from brainit.training.inputs import pool_source


def test_epoch_visits_every_example_once(source: ExampleSource) -> None:
    seen: Counter[tuple[bool, int]] = Counter()
    for batch in source.epoch(4, torch.Generator().manual_seed(0), None):
        n_rows = sum(len(group.betas) for group in batch.groups)
        assert n_rows == len(batch) <= 4
        seen.update(zip(batch.is_external.tolist(), batch.image.tolist(), strict=True))
    expected = {(False, i) for i in range(9)} | {(True, i) for i in range(N_EXTERNAL)}
    assert set(seen) == expected
    assert set(seen.values()) == {1}
    assert source.n_batches(4) == 4


def test_rows_belong_to_their_image_and_subject(source: ExampleSource) -> None:
    for batch in source.epoch(5, torch.Generator().manual_seed(1), None):
        row = 0
        for group in batch.groups:
            subject = "subj01" if group.voxels.start == 0 else "subj02"
            for betas in group.betas:
                image, is_external = batch.image[row], batch.is_external[row]
                if is_external:
                    expected = source.synthetic[subject].rows(np.array([image]))[0]
                else:
                    own = source.real[subject]
                    expected = own.betas[own.nsd_id == image][0]
                assert np.array_equal(betas.numpy(), expected.astype(np.float32))
                row += 1


def test_subject_of_an_external_image_is_drawn_uniformly(source: ExampleSource) -> None:
    counts: Counter[int] = Counter()
    for seed in range(150):
        for batch in source.epoch(16, torch.Generator().manual_seed(seed), None):
            sizes = [(g.voxels.start, len(g.betas)) for g in batch.groups]
            owner = np.repeat([s for s, _ in sizes], [n for _, n in sizes])
            counts.update(owner[batch.is_external].tolist())
    share = counts[0] / sum(counts.values())
    assert abs(share - 0.5) < 4 * 0.5 / sum(counts.values()) ** 0.5


def test_external_share_is_bounded(source: ExampleSource) -> None:
    few = ExampleSource(source.real, source.synthetic, source.voxels, external_per_real=0.5)
    assert few.n_external == round(4.5)
    kinds = [b.is_external for b in few.epoch(4, torch.Generator().manual_seed(0), None)]
    assert np.concatenate(kinds).sum() == few.n_external


@pytest.mark.parametrize(("per_real", "n_external"), [(None, 7), (0.5, 4), (0.0, 0), (3.0, 7)])
def test_a_pool_is_mixed_as_set_for_stage_1(
    source: ExampleSource, per_real: float | None, n_external: int
) -> None:
    pool = FmriPool(tuple(source.real), dict(source.real), dict(source.real))
    synthetic = {subject: shards.folder for subject, shards in source.synthetic.items()}
    settings = Stage1Settings(external_per_real=per_real)
    train, validation = pool_source(pool, synthetic, settings)
    assert (train.n_real, train.n_external, validation.n_external) == (9, n_external, 0)
    batches = list(train.epoch(4, torch.Generator().manual_seed(0), None))
    assert len(batches) == train.n_batches(4) == -(-(9 + n_external) // 4)
    is_external = np.concatenate([batch.is_external for batch in batches])
    assert (is_external.sum(), (~is_external).sum()) == (n_external, 9)


def test_dropout_gives_each_example_its_own_voxels(source: ExampleSource) -> None:
    dropout = VoxelDropout(5, "without_replacement")
    batch = next(source.epoch(16, torch.Generator().manual_seed(0), dropout))
    for group in batch.groups:
        assert group.keep is not None
        assert (group.keep.sum(1) == 5).all()
        assert len({tuple(row.tolist()) for row in group.keep}) > 1
