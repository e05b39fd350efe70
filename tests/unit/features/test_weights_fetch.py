"""Weights from a folder, from caches, from a URL or from the hub, checked before use."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.refusals import refused
from torch import Tensor

from brainit.commands.program import run
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.features import weights_fetch
from brainit.features.loaders import LOADERS
from brainit.features.published_metrics import load_alexnet
from brainit.features.registry import find_entry, load_backbone
from brainit.features.registry_entries import ENTRIES, BackboneEntry, Source
from brainit.features.weights_fetch import fetch_weights, find_source, verify_weights
from brainit.steps.fetch_weights import main as fetch_step
from brainit.workflow import sources

OWN_FOLDER = os.environ.get("BRAINIT_WEIGHTS")
PUBLISHED = {(role, name) for role in LOADERS for name in LOADERS[role] if name != "demo"}
MESSAGE = r"expected .*found .*Fix: "


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SilentHandler, directory=str(folder))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/", folder
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(autouse=True)
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own caches and settings out."""
    monkeypatch.delenv("BRAINIT_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def alexnet_state() -> dict[str, Tensor]:
    """Return random weights in the layout of AlexNet's published file, its classifier cut short."""
    torch.manual_seed(0)
    convolutions = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3)}
    convolutions[10] = (256, 256, 3)
    state = {"classifier.1.weight": torch.ones(2, 2)}
    for number, (out, width, side) in convolutions.items():
        state[f"features.{number}.weight"] = 0.1 * torch.randn(out, width, side, side)
        state[f"features.{number}.bias"] = torch.randn(out)
    return state


def entry_of(*sources: Source) -> BackboneEntry:
    return BackboneEntry("metric", "alexnet", "BSD", 1, "AlexNet", ("evaluate",), sources)


def same_features(network: torch.nn.Module, state: dict[str, Tensor]) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = network(images)
        body = {n: v for n, v in state.items() if n.startswith("features.")}
        expected = load_alexnet(Path("x"), body)(images)
    for tap in expected:
        assert torch.equal(found[tap], expected[tap])


def test_an_address_is_fetched_checked_and_kept_without_the_classifier(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = server
    state = alexnet_state()
    torch.save(state, folder / "a.pth", _use_new_zipfile_serialization=False)
    digest = sha256_of(folder / "a.pth")
    source = Source("a.pth", 1, url=f"{url}a.pth", sha256=digest[:8], keep=("features.",))
    entry = entry_of(source)
    target = tmp_path / "weights" / entry.file
    fetch_weights(entry, target)
    with safe_open(target, framework="pt") as handle:
        assert all(name.startswith("features.") for name in handle.keys())  # noqa: SIM118
        assert digest in handle.metadata()["brainit_source"]
    same_features(load_backbone("metric", "alexnet", target.parent), state)
    assert list(target.parent.iterdir()) == [target], "no download is left"
    assert digest in verify_weights(entry, target.parent)


def test_another_checksum_is_refused_and_nothing_is_kept(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = server
    torch.save(alexnet_state(), folder / "a.pth")
    entry = entry_of(Source("a.pth", 1, url=f"{url}a.pth", sha256="00000000"))
    with pytest.raises(PipelineError) as error:
        fetch_weights(entry, tmp_path / "w" / entry.file)
    assert error.value.code == "checksum" and "00000000" in error.value.expected
    assert error.value.found == sha256_of(folder / "a.pth")
    assert not (tmp_path / "w" / entry.file).exists()


def test_a_file_of_another_network_is_refused_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = alexnet_state()
    del state["features.3.bias"]
    own = tmp_path / "own"
    own.mkdir()
    torch.save(state, own / "a.pth")
    monkeypatch.setenv("BRAINIT_WEIGHTS", str(own))
    entry = entry_of(Source("a.pth", 1, url="http://127.0.0.1:9/a.pth"))
    with pytest.raises(PipelineError) as error:
        fetch_weights(entry, tmp_path / "w" / entry.file)
    assert error.value.code == "wrong-kind" and "['features.3.bias']" in error.value.found
    assert not (tmp_path / "w" / entry.file).exists()


@pytest.mark.parametrize("place", ["own", "torch/hub/checkpoints", "home/.cache/clip"])
def test_a_folder_of_ones_own_and_the_caches_come_before_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    torch.save(alexnet_state(), folder / "a.pth")
    monkeypatch.setenv("BRAINIT_WEIGHTS", str(tmp_path / "own"))
    source = Source("a.pth", 1, url="http://127.0.0.1:9/a.pth", keep=("features.",))
    assert find_source(source, tmp_path / "none") == folder / "a.pth"
    entry = entry_of(source)
    fetch_weights(entry, tmp_path / "w" / entry.file)
    same_features(load_backbone("metric", "alexnet", tmp_path / "w"), alexnet_state())


def test_a_finished_file_of_ones_own_is_taken_by_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    own = tmp_path / "own"
    own.mkdir()
    state = {n: v for n, v in alexnet_state().items() if n.startswith("features.")}
    save_file(state, own / "alexnet.safetensors")
    monkeypatch.setenv("BRAINIT_WEIGHTS", str(own))
    out = tmp_path / "w" / "alexnet.safetensors"
    fetch_step(["--network", "alexnet", "--out", str(out), "--settings", "{}"])
    assert out.read_bytes() == (own / "alexnet.safetensors").read_bytes()
    run(["weights", "verify", "alexnet", "--folder", str(out.parent)])
    (out.parent / "alexnet.safetensors").write_bytes(b"cut")
    with pytest.raises(PipelineError, match=MESSAGE) as error:
        run(["weights", "verify", "alexnet", "--folder", str(out.parent)])
    assert error.value.code == "damaged-file"


def test_the_hub_is_asked_through_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def answer(repository: str, file: str, *, repo_type: str, revision: str) -> str:
        asked.append((repository, file, repo_type, revision))
        return str(tmp_path / file)

    monkeypatch.setattr(weights_fetch, "require_host", lambda url: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    source = find_entry("unclip6").sources[0]
    assert find_source(source, tmp_path) == tmp_path / "unclip6_epoch0_step110000.ckpt"
    expected = ("pscotti/mindeyev2", "unclip6_epoch0_step110000.ckpt", "dataset", "main")
    assert asked == [expected]

    def refuse(*_: str, **__: str) -> str:
        raise LocalEntryNotFoundError("no connection\nmore")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(PipelineError) as error:
        find_source(source, tmp_path)
    assert error.value.code == "network" and error.value.found == "no connection"
    assert "mindeyev2@main" in error.value.where
    assert all(name in error.value.fix for name in ("BRAINIT_WEIGHTS", "HF_TOKEN", source.file))


def test_without_a_network_the_hub_is_not_asked_but_its_cache_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    cached: list[str | None] = [None]
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(sources, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: cached[0])
    monkeypatch.delenv("BRAINIT_WEIGHTS", raising=False)
    source = find_entry("unclip6").sources[0]
    started = time.monotonic()
    with pytest.raises(PipelineError) as error:
        find_source(source, tmp_path)
    assert time.monotonic() - started < 5
    assert error.value.code == "network" and "BRAINIT_WEIGHTS" in error.value.fix
    assert "huggingface.co" in error.value.found and "name resolution" in error.value.found
    assert "\n" not in str(error.value) and "object at" not in str(error.value)
    cached[0] = str(tmp_path / "cached")
    assert find_source(source, tmp_path) == tmp_path / "cached"


def test_a_missing_url_is_an_error(server: tuple[str, Path], tmp_path: Path) -> None:
    with refused("network", "404"):
        find_source(Source("b.pth", 1, url=f"{server[0]}b.pth"), tmp_path)


def test_every_published_network_has_a_loader_a_source_and_users() -> None:
    from brainit.steps import STEPS

    published = [entry for entry in ENTRIES if not entry.is_demo]
    assert {(entry.role, entry.name) for entry in published} == PUBLISHED
    shipped = {entry.role for entry in ENTRIES if entry.is_demo}
    assert shipped == {role for role, loaders in LOADERS.items() if "demo" in loaders}
    for entry in published:
        assert entry.licence and entry.used_by and entry.size_mb > 0
        assert set(entry.used_by) <= set(STEPS)
        assert all(bool(s.url) != bool(s.repository) for s in entry.sources)


def test_the_list_names_all_and_says_what_is_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "vgg16_bn.safetensors").write_bytes(b"x")
    with caplog.at_level("INFO"):
        run(["weights", "list", "--folder", str(tmp_path)])
    lines = {line.split(" | ")[1]: line for line in caplog.messages}
    assert lines["vgg16_bn"].endswith("| yes")
    assert lines["unclip6"].endswith(
        "hub dataset pscotti/mindeyev2@main: unclip6_epoch0_step110000.ckpt | not stated | no"
    )
    assert lines["lpips_alex"].endswith("v0.1/alex.pth | 7be5be79 and df73285e | no")
    assert set(lines) == {"name", *(e.name for e in ENTRIES if not e.is_demo)}


def test_the_papers_networks_are_fetched_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainit.commands import weights

    fetched: list[str] = []
    monkeypatch.setattr(weights, "fetch_weights", lambda entry, target: fetched.append(entry.name))
    monkeypatch.setattr(weights, "verify_weights", lambda entry, folder: "fine")
    run(["weights", "fetch", "--folder", str(tmp_path)])
    assert "dinov2_vitl14_reg" in fetched and "clip_vit_l14" in fetched


@pytest.mark.weights
@pytest.mark.parametrize("name", sorted(name for _, name in PUBLISHED))
def test_the_published_files_themselves(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, folder = find_entry(name), OWN_FOLDER
    files = [entry.file, *(source.file for source in entry.sources)]
    if not folder or not any((Path(folder) / file).is_file() for file in files):
        pytest.skip(f"the weights of {name} are not here (BRAINIT_WEIGHTS names their folder)")
    monkeypatch.setenv("BRAINIT_WEIGHTS", folder)
    fetch_weights(entry, tmp_path / entry.file)
    assert "parameters" in verify_weights(entry, tmp_path)
