"""
Metrics of each image and their means (paper section 5.2), and checks of the results.

Needs    the reconstruction folders, the stimuli, the metric networks
Makes    <results>/{subject}/metrics, <results>/checks.csv; metrics {run}_lowlevel_only need no generator
Steps    extract_true_features, evaluate, check_results
"""


rule extract_true_features:
    """Compute the features of the true test images of {wildcards.subject}."""
    input:
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_seen,
        networks=INPUTS.metric_networks(),
        truth=INPUTS.true_scenes,
    output:
        features="<results>/{subject}/metrics/true_features.safetensors",
    log:
        "<logs>/extract_true_features/{subject}.log",
    benchmark:
        "<benchmarks>/extract_true_features/{subject}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(240),
    params:
        weights=PARAMS.weights,
        truth=params.flags(truth="truth"),
        settings=settings("extract_true_features"),
        code=code_digest("brainit.steps.extract_true_features"),
    shell:
        "python -m brainit.steps.extract_true_features"
        " --trials {input.trials:q}"
        " --stimuli {input.stimuli:q}"
        " --weights {params.weights:q}"
        " {params.truth:q}"
        " --out {output.features:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule evaluate:
    """Score the {wildcards.recon_kind} images of {wildcards.subject}, {wildcards.run}."""
    input:
        recon=INPUTS.recon_scored,
        stimuli=INPUTS.stimuli_seen,
        networks=INPUTS.metric_networks(),
        truth=INPUTS.true_scenes,
        true_features=INPUTS.true_features,
    output:
        per_image="<results>/{subject}/metrics/{run}_{recon_kind}.csv",
        summary="<results>/{subject}/metrics/{run}_{recon_kind}_summary.csv",
    log:
        "<logs>/evaluate/{subject}_{run}_{recon_kind}.log",
    benchmark:
        "<benchmarks>/evaluate/{subject}_{run}_{recon_kind}.tsv"
    wildcard_constraints:
        run=f"{RUN}|{SEARCHED_RUN}",
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(240),
    params:
        kind=params.kind_of_images,
        weights=PARAMS.weights,
        truth=params.flags(truth="truth", true_features="true_features"),
        settings=settings("evaluate"),
        code=code_digest("brainit.steps.evaluate"),
    shell:
        "python -m brainit.steps.evaluate"
        " --recon {input.recon:q}"
        " --kind {params.kind:q}"
        " --stimuli {input.stimuli:q}"
        " --weights {params.weights:q}"
        " {params.truth:q}"
        " --per-image {output.per_image:q}"
        " --summary {output.summary:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule evaluate as evaluate_lowlevel with:
    input:
        recon="<results>/{subject}/recon_{run}_lowlevel",
        stimuli=INPUTS.stimuli_seen,
        networks=INPUTS.metric_networks(),
        truth=INPUTS.true_scenes,
        true_features=INPUTS.true_features,
    output:
        per_image="<results>/{subject}/metrics/{run}_lowlevel_only.csv",
        summary="<results>/{subject}/metrics/{run}_lowlevel_only_summary.csv",
    log:
        "<logs>/evaluate_lowlevel/{subject}_{run}.log",
    benchmark:
        "<benchmarks>/evaluate_lowlevel/{subject}_{run}.tsv"


rule check_results:
    """Compare the results with their null levels, and a simulation's with its ground truth."""
    input:
        truth=FILES.simulated("truth"),
        card=FILES.simulated("card.json"),
        encoder=f"{FILES.pool_models}/encoder/encoder.safetensors",
        clusters=f"{FILES.pool_models}/clusters/clusters.safetensors",
        bit=f"{FILES.pool_models}/joint/bit.safetensors",
        voxels=of_subjects(
            "<results>/{subject}/betas/voxels.safetensors", STUDY.subjects
        ),
        betas=of_subjects("<results>/{subject}/betas/betas.npy", STUDY.subjects),
        trials=FILES.trials(STUDY.cohort),
        stimuli=FILES.stimuli(pool="all"),
        metrics=FILES.scores(STUDY.main_scores),
        summaries=FILES.scores(STUDY.main_scores, "_summary"),
        network=INPUTS.networks("encoder_backbone"),
        networks=INPUTS.metric_networks(),
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
        gpu=1,
        mem_mb=by_attempt(4000),
        runtime=by_attempt(60),
    params:
        voxels=labelled("voxels", STUDY.subjects),
        betas=labelled("betas", STUDY.subjects),
        trials=labelled("trials", STUDY.cohort),
        metrics=labelled("metrics", STUDY.main_scores),
        summaries=labelled("summaries", STUDY.main_scores),
        truth=params.flags(truth="truth", card="card"),
        weights=PARAMS.weights,
        settings=settings("check_results"),
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


rule identify_images:
    """Identify the test images of {wildcards.subject} by {wildcards.source}, both directions."""
    input:
        stimuli=INPUTS.stimuli_seen,
        encoder=INPUTS.identifying_encoder,
        betas=INPUTS.identifying_responses("betas/betas.npy"),
        trials=INPUTS.identifying_responses("design/trials.csv"),
        features=INPUTS.identifying_features,
        tokens=INPUTS.stimuli_tokens,
        network=INPUTS.networks("encoder_backbone", "semantic_tokens"),
    output:
        table="<results>/{subject}/identification/{duration}_{source}.csv",
    log:
        "<logs>/identify_images/{subject}_{duration}_{source}.log",
    benchmark:
        "<benchmarks>/identify_images/{subject}_{duration}_{source}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(60),
    params:
        files=params.flags(
            encoder="encoder",
            betas="betas",
            trials="trials",
            features="features",
            tokens="tokens",
        ),
        weights=PARAMS.weights,
        settings=settings("identify_images"),
        code=code_digest("brainit.steps.identify_images"),
    shell:
        "python -m brainit.steps.identify_images"
        " --subject {wildcards.subject:q}"
        " --source {wildcards.source:q}"
        " --stimuli {input.stimuli:q}"
        " {params.files:q}"
        " --weights {params.weights:q}"
        " --out {output.table:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
