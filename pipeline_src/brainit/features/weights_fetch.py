"""Find or download the files of a published network, check them and keep the tensors in use.

Search order: the folder that `BRAINIT_WEIGHTS` names, with the published files or
`<name>.safetensors`; the caches of torch.hub, OpenAI's clip package and the Hugging Face hub (which
heeds HF_HOME, HF_HUB_OFFLINE, HF_TOKEN); then the internet. The result is a safetensors file with
the published parameter names, its source and the source's SHA-256.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of
from brainit.core.reading import refuse_machine_error
from brainit.data.fetch.remote import TransientError, first_line, innermost, require_host
from brainit.data.fetch.sources import download_file
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.registry import load_published, require_weights
from brainit.features.registry_entries import (
    OFFLINE_VARIABLE,
    BackboneEntry,
    Source,
    offline_folder,
)
from brainit.features.weights_file import count_parameters

logger = logging.getLogger(__name__)


def fetch_weights(entry: BackboneEntry, target: Path) -> None:
    """Write the checked weights of a published network to `target`, atomically.

    Raises `PipelineError` where a file cannot be fetched, its checksum is not the published one, it
    is not a checkpoint, or its parameters are not those of the network.
    """
    offline = (offline_folder() or target.parent) / entry.file
    if offline.is_file():
        load_published(entry, offline, read_tensors(offline))
        if offline.resolve() != target.resolve():
            with atomic_path(target) as partial:
                shutil.copyfile(offline, partial)
        return
    downloads = target.parent / f".{entry.name}.downloads"
    tensors: dict[str, Tensor] = {}
    digests: dict[str, str] = {}
    for source in entry.sources:
        path = find_source(source, downloads)
        digests[str(source)] = check_digest(path, source)
        checkpoint = read_tensors(path)
        kept = {n: t for n, t in checkpoint.items() if not source.keep or n.startswith(source.keep)}
        tensors |= kept
    load_published(entry, path, tensors)
    with atomic_path(target) as partial:
        save_file(_separate(tensors), partial, metadata={"brainit_source": json.dumps(digests)})
    shutil.rmtree(downloads, ignore_errors=True)


def find_source(source: Source, downloads: Path) -> Path:
    """Return the path of a published file on this machine; download it if it is not there.

    A file with a URL goes into `downloads`, one from the hub into the hub's cache. Raises
    `PipelineError` where it cannot be fetched.
    """
    caches = [Path(torch.hub.get_dir()) / "checkpoints", Path.home() / ".cache" / "clip"]
    folders = [folder for folder in (offline_folder(),) if folder] + (caches if source.url else [])
    for folder in folders:
        if (folder / source.file).is_file():
            return folder / source.file
    if source.repository:
        return _from_hub(source)
    target = downloads / source.file
    if not target.is_file():
        download_file(source.url, target)
    return target


def _from_hub(source: Source) -> Path:
    """Return the path of a file in the hub's cache, fetched if need be.

    Raises `PipelineError` where the hub refuses it, or cannot be reached and its cache lacks it.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where: dict[str, Any] = {"repo_type": source.repository_type, "revision": source.revision}
    try:
        # The hub's client would ask an unknown host for half a minute, even for a cached file.
        if not HF_HUB_OFFLINE:
            require_host(ENDPOINT)
        return Path(hf_hub_download(source.repository, source.file, **where))
    except TransientError as error:
        cached = try_to_load_from_cache(source.repository, source.file, **where)
        if isinstance(cached, str):
            return Path(cached)
        raise _not_from_hub(source, str(error)) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        refuse_machine_error(str(source), "a file that can be written and read", error)
        raise _not_from_hub(source, first_line(innermost(error))) from error


def _not_from_hub(source: Source, found: str) -> PipelineError:
    fix = (
        f"set HF_TOKEN, or put {source.file} into a folder and set {OFFLINE_VARIABLE} to that"
        " folder"
    )
    return PipelineError(str(source), "a file on the Hugging Face hub", found, fix, code="network")


def check_digest(path: Path, source: Source) -> str:
    """Return the SHA-256 of a file; raise `PipelineError` where it is not the published one."""
    digest = sha256_of(path)
    if not digest.startswith(source.sha256):
        fix = f"delete it and fetch it again from {source}"
        raise PipelineError(path, f"SHA-256 {source.sha256}", digest, fix, code="checksum")
    return digest


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, copied where two share memory, as safetensors requires."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        address = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if address in seen else tensor.contiguous()
        seen.add(address)
    return separate


def verify_weights(entry: BackboneEntry, folder: Path) -> str:
    """Load the weights of a published network from `folder`; return a line that describes them.

    Raises `PipelineError` where they are missing, unreadable or those of another network.
    """
    path = require_weights(entry, folder)
    network = load_published(entry, path, read_tensors(path))
    with safe_open(path, framework="pt") as handle:
        digests = json.loads((handle.metadata() or {}).get("brainit_source", "{}"))
    origin = ", ".join(f"{source} (SHA-256 {digest})" for source, digest in digests.items())
    n_parameters = count_parameters(network)
    return f"{n_parameters / 1e6:,.1f} M parameters, from {origin or 'a file without a source'}"
