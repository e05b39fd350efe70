"""
The authors' published models instead of trained ones (`models: authors`).

Needs    the authors' checkpoints, from the folder in BRAINIT_WEIGHTS or the hub
Makes    <results>/group/all/authors, in the layout of <results>/group/all/main
Steps    import_authors
"""


rule import_authors:
    """Fetch the authors' checkpoints and convert them to this workflow's files."""
    output:
        encoder="<results>/group/all/authors/encoder/encoder.safetensors",
        clusters="<results>/group/all/authors/clusters/clusters.safetensors",
        bit_lowlevel="<results>/group/all/authors/bit_lowlevel/bit.safetensors",
        bit_semantic="<results>/group/all/authors/bit_semantic/bit.safetensors",
        joint="<results>/group/all/authors/joint/bit.safetensors",
        generator="<results>/group/all/authors/joint/generator.safetensors",
    log:
        "<logs>/import_authors.log",
    benchmark:
        "<benchmarks>/import_authors.tsv"
    localrule: LOCAL_DOWNLOADS
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(32000),
        runtime=by_attempt(600),
    params:
        checkpoints=lambda wildcards: f"{PARAMS.weights(wildcards)}/authors",
        out=lambda wildcards, output: str(Path(output.encoder).parents[1]),
        settings=settings("import_authors"),
        code=code_digest("brainit.steps.import_authors"),
    shell:
        "python -m brainit.steps.import_authors"
        " --checkpoints {params.checkpoints:q}"
        " --out {params.out:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"
