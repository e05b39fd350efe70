"""
Blind baselines, ridge regression and nearest training images, and an oracle, a simulation's true
places (not in the paper).

Needs    betas, trials and stimuli of the subject; no trained model
Makes    <results>/{subject}/ridge_{duration}, which the rules of reconstruction read;
         <results>/{subject}/recon_{duration}_knn, recon_40h_place_only
Steps    predict_ridge, pick_nearest, draw_places
"""


rule predict_ridge:
    """Predict the {wildcards.kind} features of {wildcards.subject}'s test images by ridge."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_seen,
        tokens=INPUTS.ridge_tokens,
        network=INPUTS.ridge_network,
    output:
        predicted=directory("<results>/{subject}/ridge_{duration}/{kind}"),
    log:
        "<logs>/predict_ridge/{subject}_{duration}_{kind}.log",
    benchmark:
        "<benchmarks>/predict_ridge/{subject}_{duration}_{kind}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(32000),
        runtime=by_attempt(240),
    params:
        tokens=params.flags(tokens="tokens"),
        is_new=PARAMS.new_subject_flag,
        weights=PARAMS.weights,
        settings=settings("predict_ridge"),
        code=code_digest("brainit.steps.predict_ridge"),
    shell:
        "python -m brainit.steps.predict_ridge"
        " --subject {wildcards.subject:q}"
        " --kind {wildcards.kind:q}"
        " --duration {wildcards.duration:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --stimuli {input.stimuli:q}"
        " {params.tokens:q}"
        " {params.is_new:q}"
        " --weights {params.weights:q}"
        " --out {output.predicted:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule pick_nearest:
    """Pick for each test image the training image with {wildcards.subject}'s nearest response."""
    input:
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_seen,
    output:
        recon=report(
            directory("<results>/{subject}/recon_{duration}_knn"),
            patterns=["{picture,montage}.png"],
            caption="../report/montage.rst",
            category="Reconstructions",
            subcategory="{subject}",
            labels={"subject": "{subject}", "run": "{duration}_knn"},
        ),
    log:
        "<logs>/pick_nearest/{subject}_{duration}.log",
    benchmark:
        "<benchmarks>/pick_nearest/{subject}_{duration}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(12000),
        runtime=by_attempt(60),
    params:
        is_new=PARAMS.new_subject_flag,
        recorded=PARAMS.recorded,
        settings=settings("pick_nearest"),
        code=code_digest("brainit.steps.pick_nearest"),
    shell:
        "python -m brainit.steps.pick_nearest"
        " --subject {wildcards.subject:q}"
        " --duration {wildcards.duration:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --stimuli {input.stimuli:q}"
        " {params.is_new:q}"
        " {params.recorded:q}"
        " --out {output.recon:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule draw_places:
    """Draw the places of {wildcards.subject}'s test images without their objects (an oracle)."""
    input:
        trials=INPUTS.trials,
        truth=FILES.simulated("truth"),
        stimuli=INPUTS.stimuli_seen,
    output:
        recon=report(
            directory("<results>/{subject}/recon_40h_place_only"),
            patterns=["{picture,montage}.png"],
            caption="../report/montage.rst",
            category="Reconstructions",
            subcategory="{subject}",
            labels={"subject": "{subject}", "run": "40h_place_only"},
        ),
    log:
        "<logs>/draw_places/{subject}.log",
    benchmark:
        "<benchmarks>/draw_places/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME if STUDY.is_simulated else r"(?!)",
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(2000),
        runtime=by_attempt(30),
    params:
        settings=settings("draw_places"),
        code=code_digest("brainit.steps.draw_places"),
    shell:
        "python -m brainit.steps.draw_places"
        " --subject {wildcards.subject:q}"
        " --trials {input.trials:q}"
        " --truth {input.truth:q}"
        " --stimuli {input.stimuli:q}"
        " --out {output.recon:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
