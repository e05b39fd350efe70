"""
Metrics per image and their means (paper section 5.2), and checks, a simulation's against its truth.

Needs    the reconstruction folders, the stimuli, the metric networks
Makes    <results>/{subject}/metrics, <results>/checks.csv; {run}_lowlevel_only without any generator
Steps    evaluate, check_results
"""


rule evaluate:
    """Score the {wildcards.recon_kind} images of {wildcards.subject}, {wildcards.run}."""
    input:
        recon="<results>/{subject}/recon_{run}",
        stimuli=stimuli_of,
        networks=[network_file(name) for name in config["features"]["metrics"]],
    output:
        per_image="<results>/{subject}/metrics/{run}_{recon_kind}.csv",
        summary="<results>/{subject}/metrics/{run}_{recon_kind}_summary.csv",
    log:
        "<logs>/evaluate/{subject}_{run}_{recon_kind}.log",
    benchmark:
        "<benchmarks>/evaluate/{subject}_{run}_{recon_kind}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(240),
    params:
        kind=lambda wildcards: wildcards.get("recon_kind", "lowlevel"),
        weights=WEIGHTS,
        settings=settings(*COMPUTING, "features.metrics", "evaluation"),
        code=code_digest("brainit.steps.evaluate"),
    shell:
        "python -m brainit.steps.evaluate"
        " --recon {input.recon:q}"
        " --kind {params.kind:q}"
        " --stimuli {input.stimuli:q}"
        " --weights {params.weights:q}"
        " --per-image {output.per_image:q}"
        " --summary {output.summary:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule evaluate as evaluate_lowlevel with:
    input:
        recon="<results>/{subject}/recon_{run}_lowlevel",
        stimuli=stimuli_of,
        networks=[network_file(name) for name in config["features"]["metrics"]],
    output:
        per_image="<results>/{subject}/metrics/{run}_lowlevel_only.csv",
        summary="<results>/{subject}/metrics/{run}_lowlevel_only_summary.csv",
    log:
        "<logs>/evaluate_lowlevel/{subject}_{run}.log",
    benchmark:
        "<benchmarks>/evaluate_lowlevel/{subject}_{run}.tsv"


rule check_results:
    """Hold the results against their nulls, and a simulation's against its truth."""
    input:
        truth=simulated_files("truth"),
        card=simulated_files("card.json"),
        encoder=f"{POOL_MODELS}/encoder/encoder.safetensors",
        clusters=f"{POOL_MODELS}/clusters/clusters.safetensors",
        bit=f"{POOL_MODELS}/joint/bit.safetensors",
        voxels=of_subjects("<results>/{subject}/betas/voxels.safetensors"),
        betas=of_subjects("<results>/{subject}/betas/betas.npy"),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        stimuli="<results>/group/images/stimuli",
        metrics=score_files(""),
        summaries=score_files("_summary"),
        network=network("encoder_backbone"),
        networks=[network_file(name) for name in config["features"]["metrics"]],
    output:
        checks="<results>/checks.csv",
    log:
        "<logs>/check_results.log",
    benchmark:
        "<benchmarks>/check_results.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(4000),
        runtime=by_attempt(60),
    params:
        voxels=keyed_subjects("voxels"),
        betas=keyed_subjects("betas"),
        trials=keyed_subjects("trials"),
        metrics=keyed_scores("metrics"),
        summaries=keyed_scores("summaries"),
        truth=truth_flags,
        weights=WEIGHTS,
        settings=settings(
            *[*COMPUTING, "run.simulation", "nsd.evaluated", "features.metrics"],
            *[*ENCODER, *CLUSTERING],
            *["evaluation.eval_size", "evaluation.n_permutations"],
        ),
        code=code_digest("brainit.steps.check_results"),
    shell:
        "python -m brainit.steps.check_results"
        " --encoder {input.encoder:q}"
        " --clusters {input.clusters:q}"
        " --bit {input.bit:q}"
        " --voxels {params.voxels:q}"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --stimuli {input.stimuli:q}"
        " --metrics {params.metrics:q}"
        " --summaries {params.summaries:q}"
        " {params.truth:q}"
        " --weights {params.weights:q}"
        " --checks {output.checks:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
