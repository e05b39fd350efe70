"""A folder to run the workflow in: links to the repository, and separate results."""

from pathlib import Path

LINKED = ("config", "workflow", "pipeline_src", "profiles", "slurm", "envs", "tests")


def link_repository(repository: Path, root: Path) -> None:
    """Make `root` a folder to run in, without the files of the repository's `results/`.

    Neither is what Snakemake keeps of earlier runs (`.snakemake`). A folder that is linked already
    stays as it is.
    """
    root.mkdir(exist_ok=True)
    for name in LINKED:
        if not (root / name).exists():
            (root / name).symlink_to(repository / name)
