"""
The universal voxel encoder of all subjects of a pool (arXiv 2406.12179).

Needs    betas and trials of each subject, the stimuli
Makes    <results>/group/{pool}/main/encoder
Steps    train_encoder
"""


rule train_encoder:
    """Train the encoder of pool {wildcards.pool}: one shared network, one vector per voxel."""
    input:
        betas=INPUTS.betas_of_pool,
        trials=INPUTS.trials_of_pool,
        stimuli=INPUTS.stimuli_seen,
        network=INPUTS.networks("encoder_backbone"),
    output:
        encoder="<results>/group/{pool}/main/encoder/encoder.safetensors",
        history="<results>/group/{pool}/main/encoder/history.csv",
    log:
        "<logs>/train_encoder/{pool}.log",
    benchmark:
        "<benchmarks>/train_encoder/{pool}.tsv"
    # Priorities 5 to 2: first what the longest paths to a table wait for.
    priority: 5
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("train_encoder", 32000),
        runtime=training_minutes("train_encoder", 1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        betas=labelled("betas", INPUTS.members_of_pool),
        trials=labelled("trials", INPUTS.members_of_pool),
        duration=params.duration_of_pool,
        weights=PARAMS.weights,
        work=f"{WORK}/train_encoder/{{pool}}",
        settings=settings("train_encoder"),
        code=code_digest("brainit.steps.train_encoder"),
    shell:
        "python -m brainit.steps.train_encoder"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --stimuli {input.stimuli:q}"
        " --pool {wildcards.pool:q}"
        " --duration {params.duration:q}"
        " --weights {params.weights:q}"
        " --encoder {output.encoder:q}"
        " --history {output.history:q}"
        " --work {params.work:q}"
        " --code {params.code:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --max-hours {resources.max_hours}"
        " --tensorboard {resources.tensorboard}"
        " --loader-threads {resources.loader_threads}"
        " --settings {params.settings:q}"
        " &> {log:q}"
