"""Plans of the open sets against plain counts, and listings of thousands of keys."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from tests.refusals import refused
from tests.unit.data.open import laion_miniature

from brainit.commands.program import run
from brainit.core.cli import guarded
from brainit.data.fetch import remote
from brainit.data.fetch.listing import list_files
from brainit.data.open.plans import (
    MOSAIC_SETS,
    imagery_plan,
    laion_plan,
    mosaic_plan,
    whole_sets,
)

KEYS = [f"derivatives/sub-01/file{number:05d}.nii.gz" for number in range(8500)]


def test_counts_are_the_published_ones() -> None:
    assert sum(found.n_trials for found in MOSAIC_SETS) == 430_007
    assert sum(found.n_subjects for found in MOSAIC_SETS) == 93


def test_plans_from_counts() -> None:
    laion, mosaic, imagery = whole_sets()
    assert laion.fetched_bytes == pytest.approx(5 * (30 * 3e9 + 3.2e9))
    assert mosaic.fetched_bytes == pytest.approx(430_007 * 91_282 * 8)
    assert imagery.fetched_bytes == pytest.approx(8 * 1_052_494_008)
    assert mosaic.kept_bytes == pytest.approx(430_007 * 59_412 * 2)
    one = laion_plan(1, n_voxels=1000, listed_bytes=[10**9], fetches_images=False)
    assert one.fetched_bytes == 1e9 and one.n_files == 4
    assert one.hours(800.0) - one.hours(1600.0) == pytest.approx(1e9 / 1e8 / 3600 / 2)
    for plan in (laion, mosaic, imagery, imagery_plan(1), mosaic_plan("NSD")):
        assert plan.peak_bytes > plan.kept_bytes > 0 and plan.read_hours > 0


def test_plan_of_a_command_fetches_nothing(
    tmp_path: Path, laion: laion_miniature.Miniature, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = str(tmp_path / "sub")
    assert guarded(run, ["import-subject", "laion", str(laion.bucket), folder, "--plan"]) == 0
    assert guarded(run, ["import-subject", "laion", "s3://laion-fmri", folder, "--plan"]) == 0
    words = ["import-subject", "mosaic", "s3://x", folder, "--plan", "--subject"]
    assert guarded(run, [*words, "sub-02_GOD"]) == 0 and guarded(run, [*words, "GOD"]) == 2
    text = caplog.text
    assert "2 sessions" in text and "30 sessions" in text and "GOD (2933 trials)" in text
    assert "314.0 GB to fetch" in text
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def lister(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Serve S3's lists of a bucket, 1,000 keys a page; `fails` counts answers of status 503."""
    state: dict[str, Any] = {"fails": 0, "status": 503, "pages": 0}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            first = int(query.get("continuation-token", ["0"])[0])
            state["pages"] += 1
            if first >= 2000 and state["fails"]:
                state["fails"] -= 1
                return self.send_error(state["status"])
            prefix = query.get("prefix", [""])[0]
            keys = [key for key in KEYS if key.startswith(prefix)]
            page = keys[first : first + 1000]
            more = first + 1000 < len(keys)
            body = "".join(f"<Contents><Key>{k}</Key><Size>7</Size></Contents>" for k in page)
            token = f"<NextContinuationToken>{first + 1000}</NextContinuationToken>"
            text = (
                '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/'
                f'2006-03-01/"><Name>b</Name><KeyCount>{len(page)}</KeyCount>'
                f"<IsTruncated>{str(more).lower()}</IsTruncated>{token if more else ''}{body}"
                "</ListBucketResult>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    remote._s3_client.cache_clear()
    yield state
    remote._s3_client.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_thousands_of_keys(lister: dict[str, Any]) -> None:
    remote._s3_client()  # the import of its library is no part of the listing
    started = time.monotonic()
    found = list_files("s3://b", "derivatives/")
    assert time.monotonic() - started < 10
    assert [file.key for file in found] == KEYS and {file.n_bytes for file in found} == {7}
    assert lister["pages"] == 9
    lister["fails"] = 3  # botocore asks twice, then the list begins anew
    assert len(list_files("s3://b/derivatives", "sub-01/")) == len(KEYS)
    assert list_files("s3://b/derivatives", "sub-01/")[0].key == "sub-01/file00000.nii.gz"
    lister.update(fails=100)
    with refused("network", "503"):
        list_files("s3://b")
    lister.update(status=403)
    with refused("network", "403"):
        list_files("s3://b")
    with refused("invalid-argument", "https"):
        list_files("https://b.example")


def test_listing_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a b/c").mkdir(parents=True)
    np.save(tmp_path / "a b/c/x.npy", np.zeros(2))
    (tmp_path / "a b/y").write_text("1")
    assert [f.key for f in list_files(str(tmp_path), "a b/")] == ["a b/c/x.npy", "a b/y"]
    assert [f.key for f in list_files(f"file://{tmp_path}", "a b/y")] == ["a b/y"]
    with refused("missing-file", "none"):
        list_files(str(tmp_path / "absent"))
