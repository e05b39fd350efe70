"""
Stimuli, external images, and their cached semantic tokens and latents (paper sections 5.1, 3.2, D).

Needs    <store>/stimuli/nsd_stimuli.hdf5, <store>/coco/unlabeled2017.zip
Makes    <results>/group/images/{stimuli,external}, <results>/group/tokens/{stimuli,external} with features.cache_tokens,
         <results>/group/latents/{stimuli,external} with features.cache_latents; of a cohort beside NSD
         <results>/group/cohort/{images,trials,tokens,latents}, with the external images that it does not test
Steps    prepare_images (without NSD prepare_external), extract_features, extract_latents, join_cohort, screen_external
"""

if STUDY.nsd_subjects:

    rule prepare_images:
        """Resize stimuli and external images to one size, and store them in shards."""
        input:
            brick="<store>/stimuli/nsd_stimuli.hdf5",
            coco="<store>/coco/unlabeled2017.zip",
        output:
            stimuli=directory("<results>/group/images/stimuli"),
            external=directory("<results>/group/images/external"),
        log:
            "<logs>/prepare_images.log",
        benchmark:
            "<benchmarks>/prepare_images.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            mem_mb=by_attempt(1000),
            runtime=by_attempt(600),
        params:
            settings=settings("prepare_images"),
            code=code_digest("brainit.steps.prepare_images"),
        shell:
            "python -m brainit.steps.prepare_images"
            " --brick {input.brick:q}"
            " --coco {input.coco:q}"
            " --stimuli {output.stimuli:q}"
            " --external {output.external:q}"
            " --settings {params.settings:q}"
            " &> {log:q}"

else:

    rule prepare_external:
        """Resize external images to one size, and store them in shards."""
        input:
            coco="<store>/coco/unlabeled2017.zip",
        output:
            external=directory("<results>/group/images/external"),
        log:
            "<logs>/prepare_external.log",
        benchmark:
            "<benchmarks>/prepare_external.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            mem_mb=by_attempt(1000),
            runtime=by_attempt(600),
        params:
            settings=settings("prepare_external"),
            code=code_digest("brainit.steps.prepare_external"),
        shell:
            "python -m brainit.steps.prepare_external"
            " --coco {input.coco:q}"
            " --external {output.external:q}"
            " --settings {params.settings:q}"
            " &> {log:q}"


rule extract_features:
    """Compute the semantic tokens of the {wildcards.image_set} images."""
    input:
        images="<results>/group/images/{image_set}",
        network=INPUTS.networks("semantic_tokens"),
    output:
        tokens=directory("<results>/group/tokens/{image_set}"),
    log:
        "<logs>/extract_features/{image_set}.log",
    benchmark:
        "<benchmarks>/extract_features/{image_set}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("extract_features", 16000),
        runtime=minutes_of("extract_features", 600),
    params:
        weights=PARAMS.weights,
        settings=settings("extract_features"),
        code=code_digest("brainit.steps.extract_features"),
    shell:
        "python -m brainit.steps.extract_features"
        " --images {input.images:q}"
        " --tokens {output.tokens:q}"
        " --weights {params.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule extract_features as extract_features_lab with:
    input:
        images="<results>/{subject}/images/stimuli",
        network=INPUTS.networks("semantic_tokens"),
    output:
        tokens=directory("<results>/{subject}/tokens/stimuli"),
    log:
        "<logs>/extract_features_lab/{subject}.log",
    benchmark:
        "<benchmarks>/extract_features_lab/{subject}.tsv"
    wildcard_constraints:
        subject=LAB_NAME,


rule extract_latents:
    """Compute the generator's latents of the {wildcards.image_set} images."""
    input:
        images="<results>/group/images/{image_set}",
        network=INPUTS.networks("generator"),
    output:
        latents=directory("<results>/group/latents/{image_set}"),
    log:
        "<logs>/extract_latents/{image_set}.log",
    benchmark:
        "<benchmarks>/extract_latents/{image_set}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("extract_latents", 8000),
        runtime=minutes_of("extract_latents", 240),
    params:
        weights=PARAMS.weights,
        settings=settings("extract_latents"),
        code=code_digest("brainit.steps.extract_latents"),
    shell:
        "python -m brainit.steps.extract_latents"
        " --images {input.images:q}"
        " --latents {output.latents:q}"
        " --weights {params.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule extract_latents as extract_latents_lab with:
    input:
        images="<results>/{subject}/images/stimuli",
        network=INPUTS.networks("generator"),
    output:
        latents=directory("<results>/{subject}/latents/stimuli"),
    log:
        "<logs>/extract_latents_lab/{subject}.log",
    benchmark:
        "<benchmarks>/extract_latents_lab/{subject}.tsv"
    wildcard_constraints:
        subject=LAB_NAME,


if STUDY.is_joined:

    rule join_cohort:
        """Join images and trials of the cohort; what one data set tests trains in no other, near copies too."""
        input:
            stimuli=list(FILES.own_stimuli().values()),
            names=list(FILES.image_names().values()),
            trials=FILES.own_trials(STUDY.cohort),
        output:
            stimuli=directory("<results>/group/cohort/images/stimuli"),
            names="<results>/group/cohort/images/names.csv",
            shared="<results>/group/cohort/images/shared.csv",
            trials=FILES.trials(STUDY.cohort),
        log:
            "<logs>/join_cohort.log",
        benchmark:
            "<benchmarks>/join_cohort.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            mem_mb=by_attempt(8000),
            runtime=by_attempt(240),
        params:
            stimuli=labelled("stimuli", FILES.own_stimuli()),
            names=labelled("names", FILES.image_names()),
            trials=labelled("trials", STUDY.cohort),
            out=lambda wildcards, output: str(Path(output.names).parents[1]),
            settings=settings("join_cohort"),
            code=code_digest("brainit.steps.join_cohort"),
        shell:
            "python -m brainit.steps.join_cohort"
            " --stimuli {params.stimuli:q}"
            " --names {params.names:q}"
            " --trials {params.trials:q}"
            " --out {params.out:q}"
            " --settings {params.settings:q}"
            " &> {log:q}"

    rule screen_external:
        """Leave out external images that a member tests or validates with, near copies too."""
        input:
            external="<results>/group/images/external",
            stimuli="<results>/group/cohort/images/stimuli",
            names="<results>/group/cohort/images/names.csv",
            trials=FILES.trials(STUDY.cohort),
        output:
            screened=directory(FILES.external),
            left_out="<results>/group/cohort/images/external_left_out.csv",
        log:
            "<logs>/screen_external.log",
        benchmark:
            "<benchmarks>/screen_external.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            mem_mb=by_attempt(4000),
            runtime=by_attempt(240),
        params:
            trials=labelled("trials", STUDY.cohort),
            settings=settings("screen_external"),
            code=code_digest("brainit.steps.screen_external"),
        shell:
            "python -m brainit.steps.screen_external"
            " --external {input.external:q}"
            " --stimuli {input.stimuli:q}"
            " --names {input.names:q}"
            " --trials {params.trials:q}"
            " --screened {output.screened:q}"
            " --left-out {output.left_out:q}"
            " --settings {params.settings:q}"
            " &> {log:q}"

    use rule extract_features as extract_features_cohort with:
        input:
            images="<results>/group/cohort/images/{image_set}",
            network=INPUTS.networks("semantic_tokens"),
        output:
            tokens=directory("<results>/group/cohort/tokens/{image_set}"),
        log:
            "<logs>/extract_features_cohort/{image_set}.log",
        benchmark:
            "<benchmarks>/extract_features_cohort/{image_set}.tsv"

    use rule extract_latents as extract_latents_cohort with:
        input:
            images="<results>/group/cohort/images/{image_set}",
            network=INPUTS.networks("generator"),
        output:
            latents=directory("<results>/group/cohort/latents/{image_set}"),
        log:
            "<logs>/extract_latents_cohort/{image_set}.log",
        benchmark:
            "<benchmarks>/extract_latents_cohort/{image_set}.tsv"
