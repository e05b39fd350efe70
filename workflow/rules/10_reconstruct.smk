"""
Reconstruction: low-level (Deep Image Prior), semantic and fused images (paper sections 3.3, D.2-D.3).

Each shard of test images is a job; `gather_reconstructions` collects them into one folder.

Needs    the BITs and the generator of the run, betas and trials of the subject; of ridge its predictions
Makes    <results>/{subject}/recon_{run}; recon_{run}_lowlevel, which needs no generator
Steps    reconstruct_lowlevel, reconstruct_semantic, reconstruct_fused, gather_reconstructions
"""


rule reconstruct_lowlevel:
    """Invert the predicted VGG tokens of {wildcards.subject} with a Deep Image Prior."""
    input:
        betas=INPUTS.responses_of_run("betas", "betas.npy"),
        trials=INPUTS.responses_of_run("design", "trials.csv"),
        bit=INPUTS.model_of_run("bit_lowlevel", "bit.safetensors"),
        predicted=INPUTS.predicted_features("lowlevel"),
        network=INPUTS.lowlevel_network,
    output:
        part="<results>/{subject}/recon_{run}_parts/lowlevel/shard_{shard}.safetensors",
    log:
        "<logs>/reconstruct_lowlevel/{subject}_{run}_{shard}.log",
    benchmark:
        "<benchmarks>/reconstruct_lowlevel/{subject}_{run}_{shard}.tsv"
    priority: 1
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("reconstruct_lowlevel", 16000, 48000),
        runtime=minutes_of("reconstruct_lowlevel", 600),
    params:
        decoder=params.flags(
            betas="betas", trials="trials", bit="bit", predicted="predicted"
        ),
        shard=PARAMS.shard,
        weights=PARAMS.weights,
        settings=settings("reconstruct_lowlevel"),
        code=code_digest("brainit.steps.reconstruct_lowlevel"),
    shell:
        "python -m brainit.steps.reconstruct_lowlevel"
        " --subject {wildcards.subject:q}"
        " {params.decoder:q}"
        " --shard {params.shard:q}"
        " --weights {params.weights:q}"
        " --out {output.part:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule reconstruct_semantic:
    """Sample images of {wildcards.subject} from the predicted semantic tokens alone."""
    input:
        betas=INPUTS.responses_of_run("betas", "betas.npy"),
        trials=INPUTS.responses_of_run("design", "trials.csv"),
        bit=INPUTS.model_of_run("joint", "bit.safetensors"),
        predicted=INPUTS.predicted_features("semantic"),
        generator=INPUTS.generator_of_run,
        network=INPUTS.networks("generator"),
        refiner=INPUTS.networks("refiner"),
    output:
        part="<results>/{subject}/recon_{run}_parts/semantic/shard_{shard}.safetensors",
    log:
        "<logs>/reconstruct_semantic/{subject}_{run}_{shard}.log",
    benchmark:
        "<benchmarks>/reconstruct_semantic/{subject}_{run}_{shard}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("reconstruct_semantic", 32000),
        runtime=minutes_of("reconstruct_semantic", 600),
    params:
        decoder=params.flags(
            betas="betas",
            trials="trials",
            bit="bit",
            predicted="predicted",
            generator="generator",
        ),
        shard=PARAMS.shard,
        weights=PARAMS.weights,
        settings=settings("reconstruct_semantic"),
        code=code_digest("brainit.steps.reconstruct_semantic"),
    shell:
        "python -m brainit.steps.reconstruct_semantic"
        " --subject {wildcards.subject:q}"
        " {params.decoder:q}"
        " --shard {params.shard:q}"
        " --weights {params.weights:q}"
        " --out {output.part:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule reconstruct_fused:
    """Sample images of {wildcards.subject} from low-level images and semantic tokens."""
    input:
        betas=INPUTS.responses_of_run("betas", "betas.npy"),
        trials=INPUTS.responses_of_run("design", "trials.csv"),
        bit=INPUTS.model_of_run("joint", "bit.safetensors"),
        predicted=INPUTS.predicted_features("semantic"),
        generator=INPUTS.generator_of_run,
        lowlevel=INPUTS.lowlevel_part,
        network=INPUTS.networks("generator"),
        refiner=INPUTS.networks("refiner"),
    output:
        part="<results>/{subject}/recon_{run}_parts/fused/shard_{shard}.safetensors",
    log:
        "<logs>/reconstruct_fused/{subject}_{run}_{shard}.log",
    benchmark:
        "<benchmarks>/reconstruct_fused/{subject}_{run}_{shard}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory_of("reconstruct_fused", 32000),
        runtime=minutes_of("reconstruct_fused", 600),
    params:
        decoder=params.flags(
            betas="betas",
            trials="trials",
            bit="bit",
            predicted="predicted",
            generator="generator",
        ),
        shard=PARAMS.shard,
        weights=PARAMS.weights,
        settings=settings("reconstruct_fused"),
        code=code_digest("brainit.steps.reconstruct_fused"),
    shell:
        "python -m brainit.steps.reconstruct_fused"
        " --subject {wildcards.subject:q}"
        " {params.decoder:q}"
        " --lowlevel {input.lowlevel:q}"
        " --shard {params.shard:q}"
        " --weights {params.weights:q}"
        " --out {output.part:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule gather_reconstructions:
    """Collect the images of {wildcards.subject}, {wildcards.run}, with a montage."""
    input:
        stimuli=INPUTS.stimuli_seen,
        lowlevel=INPUTS.recon_parts("lowlevel"),
        semantic=INPUTS.recon_parts("semantic"),
        fused=INPUTS.recon_parts("fused"),
    output:
        recon=report(
            directory("<results>/{subject}/recon_{run}"),
            patterns=["{picture,montage}.png"],
            caption="../report/montage.rst",
            category="Reconstructions",
            subcategory="{subject}",
            labels={"subject": "{subject}", "run": "{run}"},
        ),
    log:
        "<logs>/gather_reconstructions/{subject}_{run}.log",
    benchmark:
        "<benchmarks>/gather_reconstructions/{subject}_{run}.tsv"
    wildcard_constraints:
        run=f"{DECODED_RUN}|{SEARCHED_RUN}",
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(4000),
        runtime=by_attempt(30),
    params:
        kinds=params.flags(lowlevel="lowlevel", semantic="semantic", fused="fused"),
        recorded=PARAMS.recorded,
        settings=settings("gather_reconstructions"),
        code=code_digest("brainit.steps.gather_reconstructions"),
    shell:
        "python -m brainit.steps.gather_reconstructions"
        " --subject {wildcards.subject:q}"
        " --run {wildcards.run:q}"
        " {params.recorded:q}"
        " --stimuli {input.stimuli:q}"
        " {params.kinds:q}"
        " --out {output.recon:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule gather_reconstructions as gather_reconstructions_lowlevel with:
    input:
        stimuli=INPUTS.stimuli_seen,
        lowlevel=INPUTS.recon_parts("lowlevel"),
    output:
        recon=directory("<results>/{subject}/recon_{run}_lowlevel"),
    log:
        "<logs>/gather_reconstructions_lowlevel/{subject}_{run}.log",
    benchmark:
        "<benchmarks>/gather_reconstructions_lowlevel/{subject}_{run}.tsv"
