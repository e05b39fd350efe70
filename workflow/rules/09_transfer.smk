"""
A new subject from 15 min, 30 min or 1 h: only its voxel embeddings are trained (paper sections 5.3, D.4).

Needs    the models of the pool without the subject, the subject's betas
Makes    <results>/{subject}/transfer_{duration}
Steps    adapt_encoder, assign_voxels, synthesize_fmri, adapt_bit, adapt_joint
"""


rule adapt_encoder:
    """Fit the encoder's voxel embeddings of {wildcards.subject} on {wildcards.duration} of data."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_seen,
        base=INPUTS.base_model("encoder", "encoder.safetensors"),
        network=INPUTS.networks("encoder_backbone"),
    output:
        encoder="<results>/{subject}/transfer_{duration}/encoder/encoder.safetensors",
        history="<results>/{subject}/transfer_{duration}/encoder/history.csv",
    log:
        "<logs>/adapt_encoder/{subject}_{duration}.log",
    benchmark:
        "<benchmarks>/adapt_encoder/{subject}_{duration}.tsv"
    priority: 2
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("adapt_encoder", 16000),
        runtime=training_minutes("adapt_encoder", 600),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        weights=PARAMS.weights,
        work=f"{WORK}/adapt_encoder/{{subject}}_{{duration}}",
        settings=settings("adapt_encoder"),
        code=code_digest("brainit.steps.adapt_encoder"),
    shell:
        "python -m brainit.steps.adapt_encoder"
        " --subject {wildcards.subject:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --stimuli {input.stimuli:q}"
        " --duration {wildcards.duration:q}"
        " --base {input.base:q}"
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


rule assign_voxels:
    """Give each voxel of {wildcards.subject} the cluster of its nearest base voxel."""
    input:
        encoder="<results>/{subject}/transfer_{duration}/encoder/encoder.safetensors",
        base_encoder=INPUTS.base_model("encoder", "encoder.safetensors"),
        base_clusters=INPUTS.base_model("clusters", "clusters.safetensors"),
    output:
        clusters="<results>/{subject}/transfer_{duration}/clusters/clusters.safetensors",
    log:
        "<logs>/assign_voxels/{subject}_{duration}.log",
    benchmark:
        "<benchmarks>/assign_voxels/{subject}_{duration}.tsv"
    priority: 2
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(8000),
        runtime=by_attempt(60),
    params:
        settings=settings("assign_voxels"),
        code=code_digest("brainit.steps.assign_voxels"),
    shell:
        "python -m brainit.steps.assign_voxels"
        " --encoder {input.encoder:q}"
        " --base-encoder {input.base_encoder:q}"
        " --base-clusters {input.base_clusters:q}"
        " --clusters {output.clusters:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule synthesize_fmri as synthesize_fmri_transfer with:
    input:
        encoder="<results>/{subject}/transfer_{duration}/encoder/encoder.safetensors",
        images=FILES.external,
        network=INPUTS.networks("encoder_backbone"),
    output:
        fmri=directory("<results>/{subject}/transfer_{duration}/synthetic_fmri"),
    log:
        "<logs>/synthesize_fmri_transfer/{subject}_{duration}.log",
    benchmark:
        "<benchmarks>/synthesize_fmri_transfer/{subject}_{duration}.tsv"


rule adapt_bit:
    """Train the voxel embeddings of {wildcards.subject} in the {wildcards.kind} BIT."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        clusters="<results>/{subject}/transfer_{duration}/clusters/clusters.safetensors",
        base_bit=INPUTS.base_model("bit_{kind}", "bit.safetensors"),
        stimuli=INPUTS.stimuli_seen,
        external=FILES.external,
        synthetic=INPUTS.predicted_fmri,
        tokens=INPUTS.semantic_tokens,
        network=INPUTS.target_network,
    output:
        bit="<results>/{subject}/transfer_{duration}/bit_{kind}/bit.safetensors",
        history="<results>/{subject}/transfer_{duration}/bit_{kind}/history.csv",
    log:
        "<logs>/adapt_bit/{subject}_{duration}_{kind}.log",
    benchmark:
        "<benchmarks>/adapt_bit/{subject}_{duration}_{kind}.tsv"
    priority: 2
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("adapt_bit", 32000),
        runtime=training_minutes("adapt_bit", 600),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        synthetic=PARAMS.synthetic_flags,
        tokens=params.token_flags,
        weights=PARAMS.weights,
        work=f"{WORK}/adapt_bit/{{subject}}_{{duration}}_{{kind}}",
        settings=settings("adapt_bit"),
        code=code_digest("brainit.steps.adapt_bit"),
    shell:
        "python -m brainit.steps.adapt_bit"
        " --kind {wildcards.kind:q}"
        " --subject {wildcards.subject:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --duration {wildcards.duration:q}"
        " --clusters {input.clusters:q}"
        " --base-bit {input.base_bit:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " {params.tokens:q}"
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


rule adapt_joint:
    """Train the voxel embeddings of {wildcards.subject} with the diffusion loss."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        base_bit="<results>/{subject}/transfer_{duration}/bit_semantic/bit.safetensors",
        base_joint_bit=INPUTS.base_model("joint", "bit.safetensors"),
        base_generator=INPUTS.base_model("joint", "generator.safetensors"),
        stimuli=INPUTS.stimuli_seen,
        external=FILES.external,
        synthetic=INPUTS.predicted_fmri,
        latents=INPUTS.latents,
        network=INPUTS.networks("generator"),
    output:
        bit="<results>/{subject}/transfer_{duration}/joint/bit.safetensors",
        history="<results>/{subject}/transfer_{duration}/joint/history.csv",
    log:
        "<logs>/adapt_joint/{subject}_{duration}.log",
    benchmark:
        "<benchmarks>/adapt_joint/{subject}_{duration}.tsv"
    priority: 2
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("adapt_joint", 64000),
        runtime=training_minutes("adapt_joint", 1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        synthetic=PARAMS.synthetic_flags,
        latents=params.latent_flags,
        weights=PARAMS.weights,
        work=f"{WORK}/adapt_joint/{{subject}}_{{duration}}",
        settings=settings("adapt_joint"),
        code=code_digest("brainit.steps.adapt_joint"),
    shell:
        "python -m brainit.steps.adapt_joint"
        " --subject {wildcards.subject:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --duration {wildcards.duration:q}"
        " --base-bit {input.base_bit:q}"
        " --base-joint-bit {input.base_joint_bit:q}"
        " --base-generator {input.base_generator:q}"
        " --stimuli {input.stimuli:q}"
        " --external {input.external:q}"
        " {params.synthetic:q}"
        " {params.latents:q}"
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
