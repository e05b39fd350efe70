"""
Stage 2: the semantic BIT and the diffusion model trained together (paper section 3.2, D.1).

Needs    the stage-1 BIT, the generator's weights, betas, images, predicted fMRI
Makes    <results>/group/{pool}/{variant}/joint
Steps    train_joint
"""


rule train_joint:
    """Train BIT and generator of pool {wildcards.pool}, variant {wildcards.variant} with the diffusion loss."""
    input:
        betas=of_pool("<results>/{subject}/betas/betas.npy"),
        trials=of_pool("<results>/{subject}/design/trials.csv"),
        base_bit=pool_model("bit_semantic", "bit.safetensors"),
        stimuli=stimuli_of,
        external="<results>/group/images/external",
        synthetic=synthetic_of_pool,
        network=network("generator"),
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
    threads: lambda wildcards: THREADS * joint_processes(wildcards)
    resources:
        gpu=joint_processes,
        mem_mb=lambda wildcards, attempt: 64000 * attempt * joint_processes(wildcards),
        runtime=training_minutes(2880),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
    params:
        launcher=joint_launcher,
        betas=named("betas"),
        trials=named("trials"),
        synthetic=synthetic_flag,
        duration=pool_duration,
        weights=WEIGHTS,
        work=f"{WORK}/train_joint/{{pool}}_{{variant}}",
        settings=settings(
            *[*COMPUTING, *TRIALS, "features.generator", "bit", "joint"],
            *["bit_semantic.external_per_real", *VOXEL_DRAWS],
        ),
        code=code_digest("brainit.steps.train_joint"),
    shell:
        "python {params.launcher:q} -m brainit.steps.train_joint"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --base-bit {input.base_bit:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " --duration {params.duration:q}"
        " --weights {params.weights:q}"
        " --bit {output.bit:q}"
        " --generator {output.generator:q}"
        " --history {output.history:q}"
        " --work {params.work:q}"
        " --code {params.code:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
        " --max-hours {resources.max_hours}"
        " --settings {params.settings:q}"
        " &> {log:q}"
