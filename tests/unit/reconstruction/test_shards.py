from dataclasses import replace

import numpy as np
import pytest
from tests.refusals import refused

from brainit.core.settings import DipSettings, ReconSettings, Settings
from brainit.reconstruction.parts import (
    Part,
    block_size,
    join_parts,
    parse_shard,
    read_part,
    shard_of,
    write_part,
)


@pytest.mark.parametrize("n_shards", [1, 2, 3, 5, 9, 20])
@pytest.mark.parametrize("n_images", [1, 15, 16, 17, 100])
def test_shards_are_whole_blocks_whatever_their_number(n_images, n_shards):
    images = np.arange(n_images) * 3 + 7
    shards = [shard_of(images, k, n_shards, 16) for k in range(n_shards)]
    assert np.array_equal(np.concatenate(shards), images)
    starts = np.cumsum([0, *(len(shard) for shard in shards)])[:-1]
    assert all(start % 16 == 0 or start == n_images for start in starts)
    blocks = [-(-len(shard) // 16) for shard in shards]
    assert max(blocks) - min(blocks) <= 1


def test_block_is_whole_chunks_and_whole_batches():
    settings = Settings(dip=DipSettings(chunk=6), recon=ReconSettings(batch=4))
    assert block_size(settings) == 12


def test_shard_text():
    assert parse_shard("2/5") == (2, 5)
    for text in ("5/5", "2", "a/3", "-1/3", "1/0"):
        with refused("invalid-argument", "--shard", "0 <= k < n"):
            parse_shard(text)


def make_part(ids: list[int], kind: str = "fused", **more: object) -> Part:
    attributes = {"subject": "subj01", "kind": kind, "seed": 1, "threads": 1, "settings": {"a": 1}}
    image = np.array(ids, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return Part(np.array(ids, dtype=np.int64), image, {**attributes, **more})


def test_parts_join_sorted_and_empty_ones_do_no_harm(tmp_path):
    for name, ids in (("a", [9, 4]), ("b", []), ("c", [5])):
        write_part(tmp_path / name, make_part(ids))
    joined = join_parts([tmp_path / name for name in "abc"], "fused", "subj01")
    assert joined.nsd_id.tolist() == [4, 5, 9]
    assert joined.image[:, 0, 0, 0].tolist() == [4, 5, 9]


def test_images_before_the_refiner_are_joined_as_the_final_ones(tmp_path):
    for name, ids in (("a", [9, 4]), ("b", []), ("c", [5])):
        part = make_part(ids)
        write_part(tmp_path / name, replace(part, unrefined=part.image + 100 if ids else None))
    joined = join_parts([tmp_path / name for name in "abc"], "fused", "subj01")
    assert joined.unrefined[:, 0, 0, 0].tolist() == [104, 105, 109]
    write_part(tmp_path / "d", make_part([7]))
    assert join_parts([tmp_path / "a", tmp_path / "d"], "fused", "subj01").unrefined is None
    short = replace(make_part([1, 2]), unrefined=np.zeros((1, 4, 4, 3), np.uint8))
    with refused("wrong-shape", "'unrefined'", "uint8", "images = 2"):
        write_part(tmp_path / "e", short)


def test_parts_that_disagree_are_refused(tmp_path):
    write_part(tmp_path / "a", make_part([1, 2]))
    write_part(tmp_path / "b", make_part([2]))
    write_part(tmp_path / "c", make_part([3], settings={"a": 2}))
    with refused("duplicate-data", "shards"):
        join_parts([tmp_path / "a", tmp_path / "b"], "fused", "subj01")
    with refused("wrong-settings", "shards"):
        join_parts([tmp_path / "a", tmp_path / "c"], "fused", "subj01")
    with refused("wrong-kind", "semantic reconstructions of subj01", "fused"):
        read_part(tmp_path / "a", "semantic", "subj01")
    with refused("wrong-kind", "fused reconstructions of subj02"):
        read_part(tmp_path / "a", "fused", "subj02")
