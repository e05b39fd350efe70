"""
Stimuli, external images, and their cached semantic tokens (paper sections 5.1, D).

Needs    <store>/stimuli/nsd_stimuli.hdf5, <store>/coco/unlabeled2017.zip
Makes    <results>/group/images/{stimuli,external}, <results>/group/tokens/{stimuli,external} with features.cache_tokens
Steps    prepare_images, extract_features
"""


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
