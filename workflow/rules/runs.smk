"""Runs: which there are, the models that each is decoded with, its images and its scores."""


def model_of(stage, name):
    """Return an input function: the model that decodes a run, the pool's or the subject's own."""

    def path(wildcards):
        run, subject = wildcards.run, wildcards.subject
        if run == "1h_scratch":
            return model_path(f"scratch_{subject}_1h", "main", stage, name)
        if run.startswith("first"):
            return model_path(run, "main", stage, name)
        if is_pooled(run) and subject not in LAB:
            return model_path("all", variant_named(wildcards), stage, name)
        return f"<results>/{subject}/transfer_{run}/{stage}/{name}"

    return path


def is_pooled(run):
    """Say whether a run is decoded by the models that all data of the pool `all` trained."""
    return run.startswith("40h") or run == NSDSYNTHETIC


def generator_of(wildcards):
    """Return the generator that decodes a run: transfer leaves the pool's as it is."""
    is_new = not is_pooled(wildcards.run) or wildcards.subject in LAB
    is_own = wildcards.run == "1h_scratch" or wildcards.run.startswith("first")
    is_transferred = is_new and not is_own
    of = base_model if is_transferred else model_of
    return of("joint", "generator.safetensors")(wildcards)


def base_model(stage, name):
    """Return an input function: the model a new subject starts from, of a pool without it."""

    def path(wildcards):
        subject = wildcards.subject
        own = f"<results>/group/without_{subject}/main"
        return f"{POOL_MODELS if subject in LAB else own}/{stage}/{name}"

    return path


def base_bit(wildcards):
    """Return the stage-1 BIT of this kind that a new subject starts from."""
    return base_model(f"bit_{wildcards.kind}", "bit.safetensors")(wildcards)


def shard_of(wildcards):
    """Return k/n: the number of this shard, from 0, and how many there are."""
    return f"{wildcards.shard}/{N_SHARDS}"


def parts_of(kind):
    """Return an input function: all shards of one kind of reconstruction of a run.

    A variant has no semantic-only images, of the low-level branch alone no fused ones, and takes
    those of the full run that it does not change. The baseline from scratch and models of fewer
    subjects are judged by their fused images and have no semantic-only ones.
    """

    def files(wildcards):
        variant = variant_named(wildcards)
        if variant != "main" and kind not in kinds_of_variant(variant):
            return []
        run = run_of(variant, kind) if variant != "main" else wildcards.run
        if kind == "semantic" and (run == "1h_scratch" or run.startswith("first")):
            return []
        folder = f"<results>/{wildcards.subject}/recon_{run}_parts/{kind}"
        return [f"{folder}/shard_{shard}.safetensors" for shard in range(N_SHARDS)]

    return files


def part_of(kind):
    """Return an input function: the shard of this number of another kind of the same run."""

    def path(wildcards):
        return parts_of(kind)(wildcards)[int(wildcards.shard)]

    return path


def generated_flags(wildcards, input):
    """Return the flags of the shards that a generator made, where the run has them."""
    made = {kind: input.get(kind, []) for kind in ("semantic", "fused")}
    return [word for kind in made if made[kind] for word in (f"--{kind}", *made[kind])]


def transfers_of(subject):
    """Return the amounts of data from which a subject is decoded as a new one."""
    if subject not in TRANSFER:
        return []
    short = SHORT_DURATIONS if subject == TRANSFER[0] else []
    return sorted({*DURATIONS, *short}, key=minutes_of)


def minutes_of(duration):
    """Return how long the recording of a duration takes, in minutes; NSD's hour has 750 trials."""
    partial = {"15min": 15, "30min": 30, "450trials": 36}
    return partial.get(duration) or 60 * int(duration.removesuffix("h"))


def runs_of(subject):
    """Return the runs whose reconstructions are scored for a subject."""
    runs = ["40h"] if subject in EVALUATED else []
    if subject in TRANSFER:
        runs += transfers_of(subject)
        runs += ["1h_scratch"] if config["transfer"]["scratch"] else []
    return runs


ALL_RUNS = [(s, run) for s in SUBJECTS for run in runs_of(s)]


def kinds_of(run):
    """Return the kinds of images that are scored: of a run from less data, the final ones alone."""
    return KINDS if run == "40h" else ["fused"]


SCORES = [(s, run, kind) for s, run in ALL_RUNS for kind in kinds_of(run)]


def further_scores():
    """Return (subject, run, kind) of what only `everything` scores, beyond the paper's tables.

    NSD-synthetic, more amounts of data of the first new subject, and models of fewer subjects than
    there are.
    """
    on_surface = config["nsd"]["space"] == "fsaverage"
    found = [(s, NSDSYNTHETIC, k) for s in EVALUATED for k in KINDS if on_surface]
    for subject in TRANSFER[:1]:
        known = transfers_of(subject)
        found += [(subject, d, "fused") for d in FURTHER_DURATIONS if d not in known]
    if TRAINS_POOL:
        sizes = [n for n in config["nsd"]["pool_sizes"] if n < len(SUBJECTS)]
        found += [(SUBJECTS[0], f"first{n}", "fused") for n in sizes]
    return found


FURTHER_SCORES = further_scores()


def class_files():
    """Return the classes of NSD-synthetic's images, which are those of any subject, if scored."""
    scored = [s for s, run, _ in FURTHER_SCORES if run == NSDSYNTHETIC]
    return [f"<results>/{s}/nsdsynthetic/classes.csv" for s in scored[:1]]


def score_files(suffix, scores=tuple(SCORES)):
    """Return the metric tables of scored kinds of runs, per image or their summaries."""
    return [
        f"<results>/{s}/metrics/{run}_{kind}{suffix}.csv" for s, run, kind in scores
    ]


def every_score(suffix):
    """Return SUBJECT/RUN/KIND -> score file of every run that `everything` makes."""
    scores = [*SCORES, *FURTHER_SCORES]
    names = ["{}/{}/{}".format(*name) for name in scores]
    found = dict(zip(names, score_files(suffix, scores), strict=True))
    return {**found, **ablation_scores(suffix)}


def other_runs():
    """Return (subject, run) of what `everything` scores and `all` does not."""
    runs = [Path(name).parts[:2] for name in every_score("")]
    return [run for run in dict.fromkeys(runs) if run not in ALL_RUNS]


def named_every(key):
    """Return a params function that writes the score files of input `key` as NAME=path."""
    return lambda wildcards, input: [
        f"{name}={path}" for name, path in zip(every_score(""), input[key], strict=True)
    ]


def keyed_scores(key):
    """Return a params function that writes the score files of input `key` as NAME=path."""
    return lambda wildcards, input: [
        "{}/{}/{}={}".format(*name, path)
        for name, path in zip(SCORES, input[key], strict=True)
    ]


def keyed_recons(key):
    """Return a params function that writes the folders of input `key` as subject/run=path."""
    return lambda wildcards, input: [
        f"{Path(path).parent.name}/{Path(path).name.removeprefix('recon_')}={path}"
        for path in input[key]
    ]


def of_subjects(pattern, subjects=tuple(SUBJECTS)):
    """Return the file `pattern` of each subject."""
    return [pattern.replace("{subject}", subject) for subject in subjects]


def keyed_subjects(key, subjects=tuple(SUBJECTS)):
    """Return a params function that writes the files of input `key` as subject=path."""
    return lambda wildcards, input: [
        f"{subject}={path}" for subject, path in zip(subjects, input[key], strict=True)
    ]


def histories():
    """Return the training histories that the figures show: label -> file."""
    stages = ["encoder", "bit_lowlevel", "bit_semantic", "joint"]
    pools = ["all"] if TRAINS_POOL else []
    pools += [f"without_{s}" for s in TRANSFER if transfers_of(s)]
    found = {
        f"{p}/{s}": f"<results>/group/{p}/main/{s}/history.csv"
        for p in pools
        for s in stages
    }
    for subject in TRANSFER:
        for duration in transfers_of(subject):
            for stage in stages:
                path = f"<results>/{subject}/transfer_{duration}/{stage}/history.csv"
                found[f"{subject}_{duration}/{stage}"] = path
    return found
