"""
Predicted fMRI for the external images (paper sections 4, D.1).

Needs    an encoder, the external images
Makes    <results>/group/{pool}/main/synthetic_fmri: shards by subject (120,000 images, 8 subjects: 78 GB).
         Those of the pool `all` are kept for the ablations; others are deleted after training.
Steps    synthesize_fmri
"""


rule synthesize_fmri:
    """Predict the fMRI responses of the encoder's subjects to the external images."""
    input:
        encoder="<results>/group/{pool}/main/encoder/encoder.safetensors",
        images=FILES.external,
        network=INPUTS.networks("encoder_backbone"),
    output:
        fmri=directory("<results>/group/{pool}/main/synthetic_fmri"),
    log:
        "<logs>/synthesize_fmri/{pool}.log",
    benchmark:
        "<benchmarks>/synthesize_fmri/{pool}.tsv"
    wildcard_constraints:
        pool="all",
    priority: 5
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("synthesize_fmri", 16000),
        runtime=minutes_of("synthesize_fmri", 600),
    params:
        weights=PARAMS.weights,
        settings=settings("synthesize_fmri"),
        code=code_digest("brainit.steps.synthesize_fmri"),
    shell:
        "python -m brainit.steps.synthesize_fmri"
        " --encoder {input.encoder:q}"
        " --images {input.images:q}"
        " --out {output.fmri:q}"
        " --weights {params.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule synthesize_fmri as synthesize_fmri_pool with:
    output:
        fmri=temp_if_real(directory("<results>/group/{pool}/main/synthetic_fmri")),
    wildcard_constraints:
        pool=OTHER_POOL,
