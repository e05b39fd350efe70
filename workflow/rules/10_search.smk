"""
Brain-consistent search: of several samples of the generator the one whose predicted response fits
the measured one best (not in the paper; after Kneeland et al. 2023, arXiv 2312.07705).

Needs    the BITs or predictions and the generator of the run, an encoder, betas and trials
Makes    <results>/{subject}/recon_{run}_search_parts; no default target asks for it
Steps    halve_trials, weigh_voxels, reconstruct_searched
"""


rule halve_trials:
    """Leave out half of the training images of {wildcards.subject}, all but {wildcards.half}."""
    input:
        trials=INPUTS.trials,
    output:
        trials="<results>/{subject}/halves/trials_{half}.csv",
    log:
        "<logs>/halve_trials/{subject}_{half}.log",
    benchmark:
        "<benchmarks>/halve_trials/{subject}_{half}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=by_attempt(10),
    params:
        settings=settings("halve_trials"),
        code=code_digest("brainit.steps.halve_trials"),
    shell:
        "python -m brainit.steps.halve_trials"
        " --trials {input.trials:q}"
        " --half {wildcards.half:q}"
        " --out {output.trials:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule train_encoder as train_encoder_half with:
    input:
        betas=INPUTS.betas_of_pool,
        trials=INPUTS.half_of_trials,
        stimuli=INPUTS.stimuli_seen,
        network=INPUTS.networks("encoder_backbone"),
    output:
        encoder="<results>/group/{pool}/main/encoder_{half}/encoder.safetensors",
        history="<results>/group/{pool}/main/encoder_{half}/history.csv",
    log:
        "<logs>/train_encoder_half/{pool}_{half}.log",
    benchmark:
        "<benchmarks>/train_encoder_half/{pool}_{half}.tsv"
    params:
        work=f"{WORK}/train_encoder_half/{{pool}}_{{half}}",


use rule adapt_encoder as adapt_encoder_half with:
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.half_of_trials,
        stimuli=INPUTS.stimuli_seen,
        base=INPUTS.base_half_encoder,
        network=INPUTS.networks("encoder_backbone"),
    output:
        encoder="<results>/{subject}/transfer_{duration}/encoder_{half}/encoder.safetensors",
        history="<results>/{subject}/transfer_{duration}/encoder_{half}/history.csv",
    log:
        "<logs>/adapt_encoder_half/{subject}_{duration}_{half}.log",
    benchmark:
        "<benchmarks>/adapt_encoder_half/{subject}_{duration}_{half}.tsv"
    params:
        work=f"{WORK}/adapt_encoder_half/{{subject}}_{{duration}}_{{half}}",


rule weigh_voxels:
    """Weigh voxels of {wildcards.subject} by the encoder's accuracy on validation images."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_of_subject,
        encoder=INPUTS.choosing_encoder,
        network=INPUTS.networks("encoder_backbone"),
    output:
        weights="<results>/{subject}/recon_{run}_search_parts/voxel_weights.safetensors",
    log:
        "<logs>/weigh_voxels/{subject}_{run}.log",
    benchmark:
        "<benchmarks>/weigh_voxels/{subject}_{run}.tsv"
    wildcard_constraints:
        run=DECODED_RUN,
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(60),
    params:
        duration=PARAMS.duration_of_run,
        weights=PARAMS.weights,
        settings=settings("weigh_voxels"),
        code=code_digest("brainit.steps.weigh_voxels"),
    shell:
        "python -m brainit.steps.weigh_voxels"
        " --subject {wildcards.subject:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --duration {params.duration:q}"
        " --stimuli {input.stimuli:q}"
        " --encoder {input.encoder:q}"
        " --weights {params.weights:q}"
        " --out {output.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule reconstruct_searched:
    """Search images of {wildcards.subject}, {wildcards.run}, that predict the measured responses."""
    input:
        betas=INPUTS.responses_of_run("betas", "betas.npy"),
        trials=INPUTS.responses_of_run("design", "trials.csv"),
        bit=INPUTS.model_of_run("joint", "bit.safetensors"),
        predicted=INPUTS.predicted_features("semantic"),
        generator=INPUTS.generator_of_run,
        lowlevel=INPUTS.search_start,
        measured_betas=INPUTS.measured_responses("betas", "betas.npy"),
        measured_trials=INPUTS.measured_responses("design", "trials.csv"),
        encoder=INPUTS.choosing_encoder,
        voxel_weights=rules.weigh_voxels.output.weights,
        network=INPUTS.networks("generator", "encoder_backbone"),
        refiner=INPUTS.networks("refiner"),
    output:
        part="<results>/{subject}/recon_{run}_search_parts/fused/shard_{shard}.safetensors",
        fits="<results>/{subject}/recon_{run}_search_parts/fits/shard_{shard}.csv",
    log:
        "<logs>/reconstruct_searched/{subject}_{run}_{shard}.log",
    benchmark:
        "<benchmarks>/reconstruct_searched/{subject}_{run}_{shard}.tsv"
    wildcard_constraints:
        run=DECODED_RUN,
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(40000),
        runtime=by_attempt(2880),
    params:
        decoder=params.flags(
            betas="betas",
            trials="trials",
            bit="bit",
            predicted="predicted",
            generator="generator",
            lowlevel="lowlevel",
        ),
        shard=PARAMS.shard,
        weights=PARAMS.weights,
        settings=settings("reconstruct_searched"),
        code=code_digest("brainit.steps.reconstruct_searched"),
    shell:
        "python -m brainit.steps.reconstruct_searched"
        " --subject {wildcards.subject:q}"
        " {params.decoder:q}"
        " --measured-betas {input.measured_betas:q}"
        " --measured-trials {input.measured_trials:q}"
        " --encoder {input.encoder:q}"
        " --voxel-weights {input.voxel_weights:q}"
        " --shard {params.shard:q}"
        " --weights {params.weights:q}"
        " --out {output.part:q}"
        " --fits {output.fits:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
