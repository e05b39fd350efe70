"""What of a run was smaller than in the paper: the settings held to their defaults, its values."""

from brainit.core.settings import Settings

SIZES: tuple[tuple[str, str, str], ...] = (
    ("encoder", "epochs", "encoder epochs"),
    ("encoder", "voxel_width", "encoder voxel width"),
    ("clusters", "n_clusters", "clusters"),
    ("clusters", "max_fit_voxels", "voxels that clusters are fitted on"),
    ("bit", "width", "BIT width"),
    ("bit", "n_heads", "BIT heads"),
    ("bit", "n_blocks", "BIT blocks"),
    ("bit_lowlevel", "epochs", "low-level BIT epochs"),
    ("bit_lowlevel", "batch", "low-level BIT batch"),
    ("bit_lowlevel", "mlp_width", "hidden units of T5's MLP"),
    ("bit_semantic", "epochs", "semantic BIT epochs"),
    ("bit_semantic", "batch", "semantic BIT batch"),
    ("joint", "epochs", "stage-2 epochs"),
    ("joint", "max_steps", "stage-2 steps at most"),
    ("transfer", "epochs", "transfer epochs"),
    ("transfer", "joint_epochs", "transfer stage-2 epochs"),
    ("transfer", "joint_max_steps", "transfer stage-2 steps at most"),
    ("images", "n_external", "external images"),
    ("dip", "iterations", "DIP iterations"),
    ("dip", "size", "DIP image side in pixels"),
    ("recon", "n_steps", "diffusion schedule steps"),
    ("recon", "max_images", "test images reconstructed"),
    ("evaluation", "eval_size", "image side at evaluation in pixels"),
)
"""(section, key, what it is); None stands for no bound, so any number is below it."""

ROLES = ("encoder_backbone", "semantic_tokens", "vgg", "generator", "refiner")


def smaller_than_paper(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each size below the paper's and each other network."""
    paper = Settings()
    found = []
    for section, key, what in SIZES:
        ours, theirs = (getattr(getattr(s, section), key) for s in (settings, paper))
        if ours is not None and (theirs is None or ours < theirs):
            found.append(f"{what} {ours:,} (paper: {'all' if theirs is None else f'{theirs:,}'})")
    if len(settings.nsd.subjects) < len(paper.nsd.subjects):
        n_ours, n_theirs = len(settings.nsd.subjects), len(paper.nsd.subjects)
        found.append(f"subjects that train {n_ours} (paper: {n_theirs})")
    if not settings.synthesis.enabled:
        found.append("no external images")
    networks = [
        f"{role} {ours} (paper: {theirs})"
        for role in ROLES
        for ours, theirs in [(getattr(settings.features, role), getattr(paper.features, role))]
        if ours != theirs
    ]
    return (*found, *networks)
