"""
Stage 1: train the low-level BIT (VGG tokens, InfoNCE) and the semantic BIT (OpenCLIP tokens, L2).

Paper sections 3.1-3.2, D.

Needs    betas and trials, V2C, images, predicted fMRI of the external images
Makes    <results>/group/{pool}/{variant}/{bit_lowlevel,bit_semantic}
Steps    train_bit
"""


rule train_bit:
    """Train the {wildcards.kind} BIT of pool {wildcards.pool}, variant {wildcards.variant}."""
    input:
        betas=INPUTS.betas_of_pool,
        trials=INPUTS.trials_of_pool,
        clusters=INPUTS.pool_model("clusters", "clusters.safetensors"),
        stimuli=INPUTS.stimuli_seen,
        external=FILES.external,
        synthetic=INPUTS.predicted_fmri,
        tokens=INPUTS.semantic_tokens,
        network=INPUTS.target_network,
    output:
        bit="<results>/group/{pool}/{variant}/bit_{kind}/bit.safetensors",
        history="<results>/group/{pool}/{variant}/bit_{kind}/history.csv",
    log:
        "<logs>/train_bit/{pool}_{variant}_{kind}.log",
    benchmark:
        "<benchmarks>/train_bit/{pool}_{variant}_{kind}.tsv"
    priority: 4
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("train_bit_{kind}", 32000, 96000),
        runtime=training_minutes("train_bit_{kind}", 1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        betas=labelled("betas", INPUTS.members_of_pool),
        trials=labelled("trials", INPUTS.members_of_pool),
        synthetic=PARAMS.synthetic_flags,
        tokens=params.token_flags,
        duration=params.duration_of_pool,
        weights=PARAMS.weights,
        work=f"{WORK}/train_bit/{{pool}}_{{variant}}_{{kind}}",
        settings=settings("train_bit_{kind}"),
        code=code_digest("brainit.steps.train_bit"),
    shell:
        "python -m brainit.steps.train_bit"
        " --kind {wildcards.kind:q}"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --clusters {input.clusters:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " {params.tokens:q}"
        " --duration {params.duration:q}"
        " --weights {params.weights:q}"
        " --bit {output.bit:q}"
        " --history {output.history:q}"
        " --work {params.work:q}"
        " --code {params.code:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --max-hours {resources.max_hours}"
        " --tensorboard {resources.tensorboard}"
        " --loader-threads {resources.loader_threads}"
        " --settings {params.settings:q}"
        " &> {log:q}"
