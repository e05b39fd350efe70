"""
Peers: other papers' decoders on the same data, tokens and pretrained generator (not in the paper).

MindEye2 and MindBridge are trained on a pool; a new subject's are adapted by each method's own rule,
`lora_skip` from MindEye2. Stage 1 of Brain-IT is predicted in the same way, for a fair row.

Needs    betas, trials, stimuli and their tokens
Makes    <results>/group/{pool}/main/peer_{peer}, <results>/{subject}/peer_{duration}_{peer}
Steps    train_peer, adapt_peer, predict_peer
"""


rule train_peer:
    """Train {wildcards.peer} on pool {wildcards.pool}."""
    input:
        betas=INPUTS.betas_of_pool,
        trials=INPUTS.trials_of_pool,
        stimuli=INPUTS.stimuli_seen,
        tokens=INPUTS.stimuli_tokens,
        network=INPUTS.networks("semantic_tokens"),
    output:
        bit="<results>/group/{pool}/main/peer_{peer}/bit.safetensors",
        history="<results>/group/{pool}/main/peer_{peer}/history.csv",
    log:
        "<logs>/train_peer/{pool}_{peer}.log",
    benchmark:
        "<benchmarks>/train_peer/{pool}_{peer}.tsv"
    wildcard_constraints:
        peer="mindeye2|mindbridge",
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(64000),
        runtime=training_minutes("train_peer", 2880),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        betas=labelled("betas", INPUTS.members_of_pool),
        trials=labelled("trials", INPUTS.members_of_pool),
        tokens=params.token_flags,
        duration=params.duration_of_pool,
        weights=PARAMS.weights,
        work=f"{WORK}/train_peer/{{pool}}_{{peer}}",
        settings=settings("train_peer"),
        code=code_digest("brainit.steps.train_peer"),
    shell:
        "python -m brainit.steps.train_peer"
        " --peer {wildcards.peer:q}"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --stimuli {input.stimuli:q}"
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


rule adapt_peer:
    """Transfer {wildcards.peer} to {wildcards.subject} with {wildcards.duration} of data."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        base=INPUTS.peer_base,
        source_betas=INPUTS.peer_source_files("betas/betas.npy"),
        source_trials=INPUTS.peer_source_trials,
        stimuli=INPUTS.stimuli_seen,
        tokens=INPUTS.stimuli_tokens,
        network=INPUTS.networks("semantic_tokens"),
    output:
        bit="<results>/{subject}/peer_{duration}_{peer}/bit.safetensors",
        history="<results>/{subject}/peer_{duration}_{peer}/history.csv",
    log:
        "<logs>/adapt_peer/{subject}_{duration}_{peer}.log",
    benchmark:
        "<benchmarks>/adapt_peer/{subject}_{duration}_{peer}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(64000),
        runtime=training_minutes("adapt_peer", 1440),
        checkpoint_minutes=CHECKPOINT_MINUTES,
        max_hours=MAX_HOURS,
        tensorboard=TENSORBOARD,
        loader_threads=LOADER_THREADS,
    params:
        sources=PARAMS.peer_source_flags,
        tokens=params.token_flags,
        weights=PARAMS.weights,
        work=f"{WORK}/adapt_peer/{{subject}}_{{duration}}_{{peer}}",
        settings=settings("adapt_peer"),
        code=code_digest("brainit.steps.adapt_peer"),
    shell:
        "python -m brainit.steps.adapt_peer"
        " --peer {wildcards.peer:q}"
        " --base {input.base:q}"
        " --subject {wildcards.subject:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --duration {wildcards.duration:q}"
        " {params.sources:q}"
        " --stimuli {input.stimuli:q}"
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


rule predict_peer:
    """Predict the semantic tokens of {wildcards.subject}'s test images by {wildcards.method}."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        bit=INPUTS.peer_model,
    output:
        predicted=directory("<results>/{subject}/peer_{duration}_{method}/semantic"),
        retrieval=directory("<results>/{subject}/peer_{duration}_{method}/retrieval"),
    log:
        "<logs>/predict_peer/{subject}_{duration}_{method}.log",
    benchmark:
        "<benchmarks>/predict_peer/{subject}_{duration}_{method}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(32000),
        runtime=by_attempt(120),
    params:
        settings=settings("predict_peer"),
        code=code_digest("brainit.steps.predict_peer"),
    shell:
        "python -m brainit.steps.predict_peer"
        " --peer {wildcards.method:q}"
        " --subject {wildcards.subject:q}"
        " --duration {wildcards.duration:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --bit {input.bit:q}"
        " --out {output.predicted:q}"
        " --retrieval {output.retrieval:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
