"""
Trials, betas and noise ceiling of each subject (paper section 5.1).

Needs    <store>/nsd, and the betas at the source
Makes    <results>/{subject}/{design,betas,noise_ceiling}; for `everything` also {subject}/nsdsynthetic; on demand {subject}/nsdimagery_{vision,imagery}
Steps    prepare_design, prepare_betas, estimate_noise_ceiling, prepare_nsdsynthetic, prepare_nsdimagery
"""


rule prepare_design:
    """Make the trial table of {wildcards.subject}, with training, validation and test splits."""
    input:
        nsd="<store>/nsd",
    output:
        trials="<results>/{subject}/design/trials.csv",
    log:
        "<logs>/prepare_design/{subject}.log",
    benchmark:
        "<benchmarks>/prepare_design/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=by_attempt(30),
    params:
        settings=settings("prepare_design"),
        code=code_digest("brainit.steps.prepare_design"),
    shell:
        "python -m brainit.steps.prepare_design"
        " --subject {wildcards.subject:q}"
        " --nsd {input.nsd:q}"
        " --trials {output.trials:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule prepare_betas:
    """Mask and z-score the betas of {wildcards.subject}, session by session."""
    input:
        nsd="<store>/nsd",
        trials="<results>/{subject}/design/trials.csv",
        mask_files=INPUTS.mask_files,
        simulated=FILES.simulated("nsd"),
    output:
        betas="<results>/{subject}/betas/betas.npy",
        voxels="<results>/{subject}/betas/voxels.safetensors",
        summary="<results>/{subject}/betas/betas.json",
    log:
        "<logs>/prepare_betas/{subject}.log",
    benchmark:
        "<benchmarks>/prepare_betas/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    localrule: LOCAL_DOWNLOADS and STUDY.is_remote
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        connections=config["nsd"]["connections"],
        mem_mb=by_attempt(2000),
        runtime=by_attempt(600),
    params:
        source=PARAMS.source,
        work=WORK,
        settings=settings("prepare_betas"),
        code=code_digest("brainit.steps.prepare_betas"),
    shell:
        "python -m brainit.steps.prepare_betas"
        " --subject {wildcards.subject:q}"
        " --nsd {input.nsd:q}"
        " --source {params.source:q}"
        " --trials {input.trials:q}"
        " --mask-files {input.mask_files:q}"
        " --work {params.work:q}"
        " --betas {output.betas:q}"
        " --voxels {output.voxels:q}"
        " --summary {output.summary:q}"
        " --settings {params.settings:q}"
        " --connections {resources.connections}"
        " &> {log:q}"


rule estimate_noise_ceiling:
    """Recompute the noise ceiling of {wildcards.subject} and compare it with NSD's."""
    input:
        nsd="<store>/nsd",
        betas="<results>/{subject}/betas/betas.npy",
        voxels="<results>/{subject}/betas/voxels.safetensors",
        betas_summary="<results>/{subject}/betas/betas.json",
        trials="<results>/{subject}/design/trials.csv",
    output:
        ceiling="<results>/{subject}/noise_ceiling/noise_ceiling.safetensors",
        summary="<results>/{subject}/noise_ceiling/summary.csv",
        sessions="<results>/{subject}/noise_ceiling/sessions.csv",
        figure="<results>/{subject}/noise_ceiling/noise_ceiling.png",
    log:
        "<logs>/estimate_noise_ceiling/{subject}.log",
    benchmark:
        "<benchmarks>/estimate_noise_ceiling/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=by_attempt(60),
    params:
        source=STUDY.source,
        settings=settings("estimate_noise_ceiling"),
        code=code_digest("brainit.steps.estimate_noise_ceiling"),
    shell:
        "python -m brainit.steps.estimate_noise_ceiling"
        " --subject {wildcards.subject:q}"
        " --nsd {input.nsd:q}"
        " --source {params.source:q}"
        " --betas {input.betas:q}"
        " --voxels {input.voxels:q}"
        " --betas-summary {input.betas_summary:q}"
        " --trials {input.trials:q}"
        " --out {output.ceiling:q}"
        " --summary {output.summary:q}"
        " --sessions {output.sessions:q}"
        " --figure {output.figure:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule prepare_nsdsynthetic:
    """Mask and z-score the NSD-synthetic session of {wildcards.subject}."""
    input:
        voxels="<results>/{subject}/betas/voxels.safetensors",
        simulated=FILES.simulated("nsd"),
    output:
        betas="<results>/{subject}/nsdsynthetic/betas.npy",
        trials="<results>/{subject}/nsdsynthetic/trials.csv",
        classes="<results>/{subject}/nsdsynthetic/classes.csv",
        images=directory("<results>/{subject}/nsdsynthetic/images"),
    log:
        "<logs>/prepare_nsdsynthetic/{subject}.log",
    benchmark:
        "<benchmarks>/prepare_nsdsynthetic/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    localrule: LOCAL_DOWNLOADS and STUDY.is_remote
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        connections=config["nsd"]["connections"],
        mem_mb=by_attempt(2000),
        runtime=by_attempt(120),
    params:
        source=PARAMS.source,
        work=f"{WORK}/nsdsynthetic/{{subject}}",
        out=lambda wildcards, output: str(Path(output.betas).parent),
        settings=settings("prepare_nsdsynthetic"),
        code=code_digest("brainit.steps.prepare_nsdsynthetic"),
    shell:
        "python -m brainit.steps.prepare_nsdsynthetic"
        " --subject {wildcards.subject:q}"
        " --source {params.source:q}"
        " --voxels {input.voxels:q}"
        " --work {params.work:q}"
        " --out {params.out:q}"
        " --settings {params.settings:q}"
        " --connections {resources.connections}"
        " &> {log:q}"


rule prepare_nsdimagery:
    """Mask and z-score the NSD-Imagery session of {wildcards.subject}."""
    input:
        voxels="<results>/{subject}/betas/voxels.safetensors",
    output:
        vision_betas="<results>/{subject}/nsdimagery_vision/betas.npy",
        vision_trials="<results>/{subject}/nsdimagery_vision/trials.csv",
        vision_classes="<results>/{subject}/nsdimagery_vision/classes.csv",
        vision_images=directory("<results>/{subject}/nsdimagery_vision/images"),
        imagery_betas="<results>/{subject}/nsdimagery_imagery/betas.npy",
        imagery_trials="<results>/{subject}/nsdimagery_imagery/trials.csv",
        imagery_classes="<results>/{subject}/nsdimagery_imagery/classes.csv",
        imagery_images=directory("<results>/{subject}/nsdimagery_imagery/images"),
    log:
        "<logs>/prepare_nsdimagery/{subject}.log",
    benchmark:
        "<benchmarks>/prepare_nsdimagery/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    localrule: LOCAL_DOWNLOADS and STUDY.is_remote
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        connections=config["nsd"]["connections"],
        mem_mb=by_attempt(2000),
        runtime=by_attempt(120),
    params:
        source=PARAMS.source,
        work=f"{WORK}/nsdimagery/{{subject}}",
        vision=lambda wildcards, output: str(Path(output.vision_betas).parent),
        imagery=lambda wildcards, output: str(Path(output.imagery_betas).parent),
        settings=settings("prepare_nsdimagery"),
        code=code_digest("brainit.steps.prepare_nsdimagery"),
    shell:
        "python -m brainit.steps.prepare_nsdimagery"
        " --subject {wildcards.subject:q}"
        " --source {params.source:q}"
        " --voxels {input.voxels:q}"
        " --work {params.work:q}"
        " --vision {params.vision:q}"
        " --imagery {params.imagery:q}"
        " --settings {params.settings:q}"
        " --connections {resources.connections}"
        " &> {log:q}"
