"""
Lab subjects: folders in the layout of config/lab_subject.md, named in the section `lab`.

A lab subject is decoded as a new subject, by transfer from the models of the pool `all`.

Needs    the subject's folder
Makes    <results>/{subject}/{design,betas,noise_ceiling,images}
Steps    prepare_lab_subject
"""


rule prepare_lab_subject:
    """Check the folder of {wildcards.subject}, and write its trials, betas, noise ceiling and images."""
    input:
        files=INPUTS.lab_files,
    output:
        trials="<results>/{subject}/design/trials.csv",
        images="<results>/{subject}/images/names.csv",
        stimuli=directory("<results>/{subject}/images/stimuli"),
        betas="<results>/{subject}/betas/betas.npy",
        voxels="<results>/{subject}/betas/voxels.safetensors",
        summary="<results>/{subject}/betas/betas.json",
        ceiling="<results>/{subject}/noise_ceiling/noise_ceiling.safetensors",
        ceiling_summary="<results>/{subject}/noise_ceiling/summary.csv",
    log:
        "<logs>/prepare_lab_subject/{subject}.log",
    benchmark:
        "<benchmarks>/prepare_lab_subject/{subject}.tsv"
    wildcard_constraints:
        subject=LAB_NAME,
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=by_attempt(120),
    params:
        folder=PARAMS.lab_folder,
        settings=settings("prepare_lab_subject"),
        code=code_digest("brainit.steps.prepare_lab_subject"),
    shell:
        "python -m brainit.steps.prepare_lab_subject"
        " --subject {wildcards.subject:q}"
        " --folder {params.folder:q}"
        " --trials {output.trials:q}"
        " --images {output.images:q}"
        " --stimuli {output.stimuli:q}"
        " --betas {output.betas:q}"
        " --voxels {output.voxels:q}"
        " --summary {output.summary:q}"
        " --ceiling {output.ceiling:q}"
        " --ceiling-summary {output.ceiling_summary:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
