"""
Stage 2: the semantic BIT and the diffusion model trained together (paper section 3.2, D.1).

Needs    the stage-1 BIT, the generator's weights, betas, images, predicted fMRI
Makes    <results>/group/{pool}/{variant}/joint
Steps    train_joint, with one GPU for each of `joint.processes`
"""


rule train_joint:
    """Train BIT and generator of pool {wildcards.pool}, variant {wildcards.variant}, together."""
    input:
        betas=INPUTS.betas_of_pool,
        trials=INPUTS.trials_of_pool,
        base_bit=INPUTS.pool_model("bit_semantic", "bit.safetensors"),
        stimuli=INPUTS.stimuli_seen,
        external=FILES.external,
        synthetic=INPUTS.predicted_fmri,
        latents=INPUTS.latents,
        network=INPUTS.networks("generator"),
    output:
        bit="<results>/group/{pool}/{variant}/joint/bit.safetensors",
        generator="<results>/group/{pool}/{variant}/joint/generator.safetensors",
        history="<results>/group/{pool}/{variant}/joint/history.csv",
    log:
        "<logs>/train_joint/{pool}_{variant}.log",
    benchmark:
        "<benchmarks>/train_joint/{pool}_{variant}.tsv"
    priority: 2
    conda:
        "../../envs/pipeline.yaml"
    threads: lambda wildcards: THREADS * PARAMS.joint_processes(wildcards)
    resources:
        gpu=PARAMS.joint_processes,
        mem_mb=lambda wildcards, attempt: memory_of("train_joint", 64000)(
            wildcards, attempt
        )
        * PARAMS.joint_processes(wildcards),
        runtime=training_minutes("train_joint", 2880),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        launcher=PARAMS.joint_launcher,
        betas=labelled("betas", INPUTS.members_of_pool),
        trials=labelled("trials", INPUTS.members_of_pool),
        synthetic=PARAMS.synthetic_flags,
        latents=params.latent_flags,
        duration=params.duration_of_pool,
        weights=PARAMS.weights,
        work=f"{WORK}/train_joint/{{pool}}_{{variant}}",
        settings=settings("train_joint"),
        code=code_digest("brainit.steps.train_joint"),
    shell:
        "python {params.launcher:q} -m brainit.steps.train_joint"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --base-bit {input.base_bit:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " {params.latents:q}"
        " --duration {params.duration:q}"
        " --weights {params.weights:q}"
        " --bit {output.bit:q}"
        " --generator {output.generator:q}"
        " --history {output.history:q}"
        " --work {params.work:q}"
        " --code {params.code:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --max-hours {resources.max_hours}"
        " --tensorboard {resources.tensorboard}"
        " --loader-threads {resources.loader_threads}"
        " --settings {params.settings:q}"
        " &> {log:q}"
