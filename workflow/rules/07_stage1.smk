"""
Stage 1: the low-level BIT (VGG tokens, InfoNCE) and the semantic BIT (OpenCLIP tokens, L2), sections 3.1-3.2, D.

Needs    betas and trials, V2C, images, predicted fMRI of the external images
Makes    <results>/group/{pool}/{variant}/{bit_lowlevel,bit_semantic}
Steps    train_bit_lowlevel, train_bit_semantic
"""


rule train_bit_lowlevel:
    """Train the low-level BIT of pool {wildcards.pool}, variant {wildcards.variant}."""
    input:
        betas=of_pool("<results>/{subject}/betas/betas.npy"),
        trials=of_pool("<results>/{subject}/design/trials.csv"),
        clusters=pool_model("clusters", "clusters.safetensors"),
        stimuli=stimuli_of,
        external="<results>/group/images/external",
        synthetic=synthetic_of_pool,
        network=network("vgg"),
    output:
        bit="<results>/group/{pool}/{variant}/bit_lowlevel/bit.safetensors",
        history="<results>/group/{pool}/{variant}/bit_lowlevel/history.csv",
    log:
        "<logs>/train_bit_lowlevel/{pool}_{variant}.log",
    benchmark:
        "<benchmarks>/train_bit_lowlevel/{pool}_{variant}.tsv"
    priority: 4
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of(32000, 96000),
        runtime=training_minutes(1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
    params:
        betas=named("betas"),
        trials=named("trials"),
        synthetic=synthetic_flag,
        duration=pool_duration,
        weights=WEIGHTS,
        work=f"{WORK}/train_bit_lowlevel/{{pool}}_{{variant}}",
        settings=settings(*COMPUTING, *TRIALS, "features.vgg", "bit", "bit_lowlevel"),
        code=code_digest("brainit.steps.train_bit_lowlevel"),
    shell:
        "python -m brainit.steps.train_bit_lowlevel"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --clusters {input.clusters:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " --duration {params.duration:q}"
        " --weights {params.weights:q}"
        " --bit {output.bit:q}"
        " --history {output.history:q}"
        " --work {params.work:q}"
        " --code {params.code:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --max-hours {resources.max_hours}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule train_bit_semantic:
    """Train the semantic BIT of pool {wildcards.pool}, variant {wildcards.variant}."""
    input:
        betas=of_pool("<results>/{subject}/betas/betas.npy"),
        trials=of_pool("<results>/{subject}/design/trials.csv"),
        clusters=pool_model("clusters", "clusters.safetensors"),
        stimuli=stimuli_of,
        external="<results>/group/images/external",
        synthetic=synthetic_of_pool,
        tokens=token_files,
        network=network("semantic_tokens"),
    output:
        bit="<results>/group/{pool}/{variant}/bit_semantic/bit.safetensors",
        history="<results>/group/{pool}/{variant}/bit_semantic/history.csv",
    log:
        "<logs>/train_bit_semantic/{pool}_{variant}.log",
    benchmark:
        "<benchmarks>/train_bit_semantic/{pool}_{variant}.tsv"
    priority: 3
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(32000),
        runtime=training_minutes(1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
    params:
        betas=named("betas"),
        trials=named("trials"),
        synthetic=synthetic_flag,
        tokens=token_flags,
        duration=pool_duration,
        weights=WEIGHTS,
        work=f"{WORK}/train_bit_semantic/{{pool}}_{{variant}}",
        settings=settings(*COMPUTING, *TRIALS, *TOKEN_NETWORK, "bit", "bit_semantic"),
        code=code_digest("brainit.steps.train_bit_semantic"),
    shell:
        "python -m brainit.steps.train_bit_semantic"
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
        " --settings {params.settings:q}"
        " &> {log:q}"
