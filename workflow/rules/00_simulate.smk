"""
A simulated NSD with known ground truth, and the tiny networks that ship with the project.

Needs    nothing
Makes    <store>/simulated/{nsd,coco,truth,card.json}
Steps    simulate_nsd; train_demo_backbones trains the networks (`make backbones`, never in a run)
"""

if STUDY.is_simulated:

    rule simulate_nsd:
        """Write a simulated NSD in NSD's formats, and its ground truth."""
        output:
            nsd=directory("<store>/simulated/nsd"),
            coco="<store>/simulated/coco/unlabeled2017.zip",
            truth=directory("<store>/simulated/truth"),
            card="<store>/simulated/card.json",
        log:
            "<logs>/simulate_nsd.log",
        benchmark:
            "<benchmarks>/simulate_nsd.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: 2
        resources:
            mem_mb=by_attempt(4000),
            runtime=by_attempt(60),
        params:
            out=lambda wildcards, output: str(Path(output.card).parent),
            settings=settings("simulate_nsd"),
            code=code_digest("brainit.steps.simulate_nsd"),
        shell:
            "python -m brainit.steps.simulate_nsd"
            " --out {params.out:q}"
            " --workers {threads}"
            " --settings {params.settings:q}"
            " &> {log:q}"
