"""
NSD's metadata, stimuli and masks, COCO's unlabelled images, and the networks' weights (paper section 5.1).

Betas are not fetched here: `prepare_betas` streams them, one session at a time.

Needs    the simulator's folder, or a bucket whose terms have been accepted
Makes    <store>/nsd, <store>/coco/unlabeled2017.zip, <store>/weights
Steps    download, fetch_weights
"""


rule download:
    """Fetch and verify everything but the betas."""
    input:
        simulated=simulated_files("nsd", "coco/unlabeled2017.zip"),
    output:
        nsd=directory("<store>/nsd"),
        coco="<store>/coco/unlabeled2017.zip",
        manifest="<store>/manifest.json",
    log:
        "<logs>/download.log",
    benchmark:
        "<benchmarks>/download.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=600,
    params:
        source=source_root,
        coco_source=coco_root,
        settings=settings("nsd"),
        code=code_digest("brainit.steps.download"),
    shell:
        "python -m brainit.steps.download"
        " --source {params.source:q}"
        " --coco-source {params.coco_source:q}"
        " --out {output.nsd:q}"
        " --coco-out {output.coco:q}"
        " --manifest {output.manifest:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule fetch_weights:
    """Find or fetch the published weights of one network and verify them."""
    output:
        weights="<store>/weights/{network}.safetensors",
    log:
        "<logs>/fetch_weights/{network}.log",
    benchmark:
        "<benchmarks>/fetch_weights/{network}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=24000,
        runtime=600,
    params:
        settings=settings(),
        code=code_digest("brainit.steps.fetch_weights"),
    shell:
        "python -m brainit.steps.fetch_weights"
        " --network {wildcards.network:q}"
        " --out {output.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
