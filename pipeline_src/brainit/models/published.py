"""Trained models of a pool on the Hugging Face hub: files to publish, push, fetch."""

from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.reading import refuse_machine_error

FILES = {
    "encoder/encoder.safetensors": "encoder",
    "clusters/clusters.safetensors": "clusters",
    "bit_lowlevel/bit.safetensors": "bit",
    "bit_semantic/bit.safetensors": "bit",
    "joint/bit.safetensors": "bit",
    "joint/generator.safetensors": "generator",
}
"""Model files within the folder of a pool, and their kinds (config/models.md)."""
SETTINGS_FILE = "config.yaml"
CARD_FILE = "README.md"
_MESSAGE = "Publish Brain-IT models"


def push_models(
    folder: Path, repository: str, *, private: bool = False, endpoint: str | None = None
) -> str:
    """Upload a folder that `brainit export-models` wrote to USER/NAME on the hub; return its URL.

    The repository is made if it does not exist; other files in the folder stay here. `endpoint`
    None: that of HF_ENDPOINT, or the public hub. Raises `PipelineError` where a file is missing or
    the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    names = [*FILES, SETTINGS_FILE, CARD_FILE]
    for name in names:
        if not (folder / name).is_file():
            fix = "run `brainit export-models FOLDER` and push that folder"
            raise PipelineError(folder / name, "an exported file", "none", fix, code="missing-file")
    api = HfApi(endpoint=endpoint)
    _require_hub(repository, api.endpoint)
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=names, commit_message=_MESSAGE
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        refuse_machine_error(repository, "a file that can be written and read", error)
        raise _refused(repository, error, "log in by `hf auth login`, or set HF_TOKEN") from error
    return str(url)


def fetch_models(repository: str, revision: str = "main", endpoint: str | None = None) -> Path:
    """Return the folder, in the hub's cache, of the models at a revision of USER/NAME.

    All files are of one commit. Only tensors and settings are fetched. Raises `PipelineError` where
    the hub does not have them.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint)
    _require_hub(repository, api.endpoint)
    try:
        info = api.model_info(repository, revision=revision)
        paths = [
            hf_hub_download(repository, name, revision=info.sha, endpoint=endpoint)
            for name in (SETTINGS_FILE, *FILES)
        ]
    except (HfHubHTTPError, OSError, ValueError) as error:
        refuse_machine_error(repository, "a file that can be written and read", error)
        fix = "name a repository that `brainit models push` wrote, or set HF_TOKEN"
        raise _refused(f"{repository}@{revision}", error, fix) from error
    return Path(paths[0]).parent


def _require_hub(repository: str, endpoint: str) -> None:
    """Raise `PipelineError` where the hub's name is unknown: its client would ask half a minute."""
    from brainit.data.fetch.remote import TransientError, require_host

    try:
        require_host(endpoint)
    except TransientError as error:
        fix = "check the network, or HF_ENDPOINT; models in a folder need no hub"
        raise _refused(repository, error, fix) from error


def _refused(repository: str, error: Exception, fix: str) -> PipelineError:
    from brainit.data.fetch.remote import first_line

    expected = "a repository of the Hugging Face hub"
    return PipelineError(repository, expected, first_line(error), fix, code="network")
