"""
NSD's metadata, stimuli and masks, COCO's unlabelled images, and the networks' weights (paper section 5.1).

`prepare_betas` fetches the betas, one session at a time.

Needs    the simulator's folder, or NSD's bucket with its terms accepted
Makes    <store>/nsd, <store>/stimuli, <store>/coco, <store>/manifests, <store>/weights
Steps    download, download_images (without NSD download_external), fetch_weights
"""


rule download:
    """Fetch and verify NSD's designs, masks and noise ceilings."""
    input:
        simulated=FILES.simulated("nsd"),
        terms=accepted_terms,
    output:
        nsd=directory("<store>/nsd"),
        manifest="<store>/manifests/nsd.json",
    log:
        "<logs>/download.log",
    benchmark:
        "<benchmarks>/download.tsv"
    localrule: LOCAL_DOWNLOADS
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        connections=config["nsd"]["connections"],
        mem_mb=by_attempt(1000),
        runtime=by_attempt(120),
    params:
        source=PARAMS.source,
        work=f"{WORK}/download",
        settings=settings("download"),
        code=code_digest("brainit.steps.download"),
    shell:
        "python -m brainit.steps.download"
        " --source {params.source:q}"
        " --out {output.nsd:q}"
        " --work {params.work:q}"
        " --manifest {output.manifest:q}"
        " --settings {params.settings:q}"
        " --connections {resources.connections}"
        " &> {log:q}"


if STUDY.nsd_subjects:

    rule download_images:
        """Fetch NSD's stimuli and COCO's unlabelled images, deleted after `prepare_images`."""
        input:
            simulated=FILES.simulated("nsd", "coco/unlabeled2017.zip"),
            terms=accepted_terms,
        output:
            stimuli=temp_if_real("<store>/stimuli/nsd_stimuli.hdf5"),
            coco=temp_if_real("<store>/coco/unlabeled2017.zip"),
            manifest="<store>/manifests/images.json",
        log:
            "<logs>/download_images.log",
        benchmark:
            "<benchmarks>/download_images.tsv"
        localrule: LOCAL_DOWNLOADS
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            connections=config["nsd"]["connections"],
            mem_mb=by_attempt(1000),
            runtime=by_attempt(1200),
        params:
            source=PARAMS.source,
            coco_source=PARAMS.coco_source,
            work=f"{WORK}/download_images",
            settings=settings("download_images"),
            code=code_digest("brainit.steps.download_images"),
        shell:
            "python -m brainit.steps.download_images"
            " --source {params.source:q}"
            " --coco-source {params.coco_source:q}"
            " --stimuli {output.stimuli:q}"
            " --coco {output.coco:q}"
            " --work {params.work:q}"
            " --manifest {output.manifest:q}"
            " --settings {params.settings:q}"
            " --connections {resources.connections}"
            " &> {log:q}"

else:

    rule download_external:
        """Fetch COCO's unlabelled images alone, deleted after `prepare_external`."""
        output:
            coco=temp("<store>/coco/unlabeled2017.zip"),
            manifest="<store>/manifests/external.json",
        log:
            "<logs>/download_external.log",
        benchmark:
            "<benchmarks>/download_external.tsv"
        localrule: LOCAL_DOWNLOADS
        conda:
            "../../envs/pipeline.yaml"
        threads: 1
        resources:
            connections=config["nsd"]["connections"],
            mem_mb=by_attempt(1000),
            runtime=by_attempt(1200),
        params:
            coco_source=STUDY.coco_source,
            work=f"{WORK}/download_external",
            settings=settings("download_external"),
            code=code_digest("brainit.steps.download_external"),
        shell:
            "python -m brainit.steps.download_external"
            " --coco-source {params.coco_source:q}"
            " --coco {output.coco:q}"
            " --work {params.work:q}"
            " --manifest {output.manifest:q}"
            " --settings {params.settings:q}"
            " --connections {resources.connections}"
            " &> {log:q}"


rule fetch_weights:
    """Find or fetch the published weights of {wildcards.network}, and verify them."""
    output:
        weights="<store>/weights/{network}.safetensors",
    log:
        "<logs>/fetch_weights/{network}.log",
    benchmark:
        "<benchmarks>/fetch_weights/{network}.tsv"
    localrule: LOCAL_DOWNLOADS
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(24000),
        runtime=by_attempt(600),
    params:
        settings=settings("fetch_weights"),
        code=code_digest("brainit.steps.fetch_weights"),
    shell:
        "python -m brainit.steps.fetch_weights"
        " --network {wildcards.network:q}"
        " --out {output.weights:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
