"""One thin step per rule of the workflow, in the paper's order.

Each is `python -m brainit.steps.<name>`: it reads artifacts, calls one function, writes artifacts.
"""

STEPS: tuple[str, ...] = (
    "simulate_nsd",
    "train_demo_backbones",
    "download",
    "download_images",
    "fetch_weights",
    "prepare_design",
    "prepare_betas",
    "prepare_nsdsynthetic",
    "estimate_noise_ceiling",
    "prepare_lab_subject",
    "prepare_images",
    "extract_features",
    "train_encoder",
    "cluster_voxels",
    "synthesize_fmri",
    "train_bit_lowlevel",
    "train_bit_semantic",
    "train_joint",
    "import_authors",
    "adapt_encoder",
    "assign_voxels",
    "adapt_bit",
    "adapt_joint",
    "reconstruct_lowlevel",
    "reconstruct_semantic",
    "reconstruct",
    "gather_reconstructions",
    "evaluate",
    "check_results",
    "make_tables",
    "make_figures",
    "make_report",
)
