"""From a miniature bucket in NSD's layout to arrays: equal from a folder, a web server and S3."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from tests.unit.data.fault_server import Faults, serving
from tests.unit.data.tiny_nsd import TinyNsd, write_tiny_nsd
from tests.workflow.source_runs import SourceRun

# boto3 leaves the sockets of its pool to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> TinyNsd:
    return write_tiny_nsd(tmp_path_factory.mktemp("bucket"))


@contextmanager
def folder_source(tree: TinyNsd) -> Iterator[str]:
    yield str(tree.root)


@contextmanager
def http_source(tree: TinyNsd) -> Iterator[str]:
    faults = Faults()
    faults.unavailable["nsd_expdesign.mat"] = 1
    faults.cut_after["lh.betas_session02.mgh"], faults.cuts["lh.betas_session02.mgh"] = 900, 1
    with serving(tree.root, faults) as url:
        yield url
    assert not faults.unavailable["nsd_expdesign.mat"] and not +faults.cuts


@contextmanager
def s3_source(tree: TinyNsd) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        resource = boto3.resource("s3", endpoint_url=endpoint, **keys)
        bucket = resource.create_bucket(Bucket="miniature", ACL="public-read")
        for path in tree.root.rglob("*"):
            if path.is_file():
                key = path.relative_to(tree.root).as_posix()
                bucket.put_object(Key=key, Body=path.read_bytes(), ACL="public-read")
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        yield "s3://miniature"
    finally:
        os.environ.pop("AWS_ENDPOINT_URL", None)
        server.stop()


def made(repository: Path, root: Path, source: str) -> SourceRun:
    """Run the workflow in `root` from `source` to the arrays."""
    run = SourceRun(repository, root, source, ("subj01", "subj02"))
    run.lay_out()
    run.finish()
    return run


@pytest.fixture(scope="module")
def from_folder(
    repository: Path, tree: TinyNsd, tmp_path_factory: pytest.TempPathFactory
) -> SourceRun:
    with folder_source(tree) as source:
        return made(repository, tmp_path_factory.mktemp("folder") / "run", source)


def test_arrays_are_the_written_betas_masked_and_normalised(
    from_folder: SourceRun, tree: TinyNsd
) -> None:
    for subject in tree.subjects:
        found = np.load(from_folder.root / f"results/{subject}/betas/betas.npy").astype(float)
        sessions = []
        for session in range(1, tree.n_sessions + 1):
            sides = [tree.betas[subject, side, session][:, 5:20] for side in ("lh", "rh")]
            sessions.append(np.concatenate(sides, axis=1).astype(float))
        keep = np.isfinite(np.concatenate(sessions)).all(axis=0)
        for session, values in enumerate(sessions):
            rows = found[session * len(values) : (session + 1) * len(values)]
            spread = values[:, keep].std(axis=0)
            expected = (values[:, keep] - values[:, keep].mean(axis=0)) / np.where(
                spread > 1e-6, spread, np.inf
            )
            np.testing.assert_allclose(rows, expected, atol=4e-3)


@pytest.mark.parametrize("kind", [http_source, s3_source], ids=["http", "s3"])
def test_a_server_gives_the_same_arrays(
    repository: Path,
    tree: TinyNsd,
    from_folder: SourceRun,
    tmp_path: Path,
    kind: Callable[[TinyNsd], Any],
) -> None:
    root = tmp_path / "run"
    with kind(tree) as source:
        run = made(repository, root, source)
    assert run.digests() == from_folder.digests()
    summary = json.loads((root / "results/subj01/betas/betas.json").read_text())
    for session in summary["sessions"]:
        assert [len(file["etag"]) > 0 for file in session["fetched"]] == [True, True]
    assert not (root / "results/.store/stimuli/nsd_stimuli.hdf5").exists()
    assert not (root / "results/.store/coco/unlabeled2017.zip").exists()
    assert (root / "results/.store/manifests/nsd_terms_accepted.json").is_file()
