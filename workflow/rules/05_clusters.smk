"""
V2C: assign every voxel of every subject to a shared functional cluster (paper section 3.1).

Needs    the encoder's voxel embeddings (or the voxels' positions, or an atlas)
Makes    <results>/group/{pool}/{variant}/clusters
Steps    cluster_voxels
"""


rule cluster_voxels:
    """Cluster the voxels of pool {wildcards.pool}, variant {wildcards.variant}."""
    input:
        encoder=INPUTS.pool_model("encoder", "encoder.safetensors"),
        voxels=INPUTS.voxels_of_pool,
        atlas=INPUTS.atlas_source,
    output:
        clusters="<results>/group/{pool}/{variant}/clusters/clusters.safetensors",
        summary="<results>/group/{pool}/{variant}/clusters/summary.csv",
    log:
        "<logs>/cluster_voxels/{pool}_{variant}.log",
    benchmark:
        "<benchmarks>/cluster_voxels/{pool}_{variant}.tsv"
    priority: 5
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(16000),
        runtime=by_attempt(600),
    params:
        voxels=labelled("voxels", INPUTS.members_of_pool),
        atlas=PARAMS.atlas_flags,
        settings=settings("cluster_voxels"),
        code=code_digest("brainit.steps.cluster_voxels"),
    shell:
        "python -m brainit.steps.cluster_voxels"
        " --encoder {input.encoder:q}"
        " --voxels {params.voxels:q}"
        " {params.atlas:q}"
        " --clusters {output.clusters:q}"
        " --summary {output.summary:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
