"""Where data come from: source and lab folders, tokens, predicted fMRI, truth, as input functions."""


def lab_of(wildcards):
    """Return the lab's subject that the wildcards name, alone or as a pool, or None."""
    pool = wildcards.get("pool")
    subject = wildcards.get("subject") or pool_subjects(pool)[0]
    return subject if subject in LAB else None


def stimuli_of(wildcards):
    """Return the images that the subject or the pool saw: NSD's, NSD-synthetic's or a lab's own."""
    if wildcards.get("run") == NSDSYNTHETIC:
        return f"<results>/{wildcards.subject}/nsdsynthetic/images"
    lab = lab_of(wildcards)
    return (
        f"<results>/{lab}/images/stimuli" if lab else "<results>/group/images/stimuli"
    )


def recorded(folder, name):
    """Return an input function: a file of the responses that a run decodes, NSD's or NSD-synthetic's."""

    def path(wildcards):
        of_run = NSDSYNTHETIC if wildcards.run == NSDSYNTHETIC else folder
        return f"<results>/{wildcards.subject}/{of_run}/{name}"

    return path


def lab_files(wildcards):
    """Return what stands in the folder of a lab's subject; the folder where it is empty."""
    folder = Path(LAB[wildcards.subject])
    names = ["betas.npy", "trials.csv", "voxels.csv", "images", "images.npy"]
    found = [str(folder / name) for name in names if (folder / name).exists()]
    return found or str(folder)


def lab_folder(wildcards):
    """Return the folder of a lab's subject."""
    return LAB[wildcards.subject]


def simulated_files(*names):
    """Return files of the simulator's output, or none where the source is not simulated."""
    return [f"<store>/simulated/{name}" for name in names] if SIMULATION else []


def token_files(wildcards):
    """Return the cached semantic tokens of both image sets, where the settings keep them."""
    lab = lab_of(wildcards)
    stimuli = f"<results>/{lab or 'group'}/tokens/stimuli"
    is_used = uses_external(wildcards)
    external = ["<results>/group/tokens/external"] if is_used else []
    return [stimuli, *external] if CACHE_TOKENS else []


def token_flags(wildcards, input):
    """Return the flags of the cached tokens among the inputs."""
    flags = ["--tokens", "--external-tokens"]
    return [word for pair in zip(flags, input.get("tokens", [])) for word in pair]


def synthetic_of_pool(wildcards):
    """Return the folder of the pool's predicted fMRI, where external images are used."""
    folder = f"<results>/group/{wildcards.pool}/main/synthetic_fmri"
    return folder if uses_external(wildcards) else []


def synthetic_flag(wildcards, input):
    """Return --synthetic and subject=path words, where external images are used."""
    if not uses_external(wildcards):
        return []
    subjects = pool_subjects(wildcards.pool)
    return ["--synthetic", *[f"{name}={input.synthetic}/{name}" for name in subjects]]


def truth_flags(wildcards, input):
    """Return --truth and --card where the source is simulated."""
    return (
        ["--truth", str(input.truth), "--card", str(input.card)] if SIMULATION else []
    )


def transferred_fmri(wildcards):
    """Return the folder of the new subject's predicted fMRI, where external images are used."""
    folder = (
        f"<results>/{wildcards.subject}/transfer_{wildcards.duration}/synthetic_fmri"
    )
    return folder if uses_external(wildcards) else []


def transferred_flag(wildcards, input):
    """Return --synthetic and the subject's folder, where external images are used."""
    if not uses_external(wildcards):
        return []
    return ["--synthetic", f"{input.synthetic}/{wildcards.subject}"]


def semantic_token_files(wildcards):
    """Return the cached tokens for the semantic BIT, nothing for the low-level one."""
    return token_files(wildcards) if wildcards.kind == "semantic" else []


def target_network(wildcards):
    """Return the network whose features the BIT of this kind predicts."""
    return network({"lowlevel": "vgg", "semantic": "semantic_tokens"}[wildcards.kind])


def atlas_files(wildcards):
    """Return the annotations of both hemispheres, where clusters are an atlas's parcels."""
    own = settings_of(variant_named(wildcards))["clusters"]
    pattern = own["atlas"].replace("{store}", str(STORE))
    sides = ("lh", "rh") if own["method"] == "atlas" else ()
    return [pattern.replace("{hemisphere}", side) for side in sides]


def atlas_inputs(wildcards):
    """Return what the annotations come from: the files, or the simulation that writes them."""
    simulated = Path(STORE) / "simulated" / "nsd"
    files = atlas_files(wildcards)
    is_simulated = SIMULATION and any(simulated in Path(name).parents for name in files)
    return simulated_files("nsd") if is_simulated else files


def atlas_flags(wildcards):
    """Return --atlas and its files, where clusters are an atlas's parcels."""
    files = atlas_files(wildcards)
    return ["--atlas", *files] if files else []


def source_root(wildcards):
    """Return the root of NSD's tree: the simulator's folder or what the settings name."""
    return SOURCE


def coco_root(wildcards):
    """Return the folder of COCO's archive: the simulator's or what the settings name."""
    return COCO_SOURCE


def mask_files(wildcards):
    """Return the subject's own ROI files, where nsd.mask is `files`."""
    return [
        path.replace("{subject}", wildcards.subject)
        for path in config["nsd"]["mask_files"]
    ]
