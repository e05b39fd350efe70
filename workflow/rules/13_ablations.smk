"""
What `everything` adds: ablations, tables beyond the paper, and checks of the paper's claims.

An ablation runs the same rules with other settings, from the first step that these change.

Needs    the models and scores of the full run
Makes    <results>/{subject}/metrics/encoder.csv, <results>/checks_full.csv, <results>/report_full.html
Steps    evaluate_encoder, check_claims, make_report
"""


rule evaluate_encoder:
    """Score the encoder on the test images of {wildcards.subject}, by part of cortex."""
    input:
        encoder=f"{FILES.pool_models}/encoder/encoder.safetensors",
        nsd="<store>/nsd",
        voxels="<results>/{subject}/betas/voxels.safetensors",
        betas="<results>/{subject}/betas/betas.npy",
        trials=INPUTS.trials,
        stimuli=INPUTS.stimuli_seen,
        truth=FILES.simulated("truth"),
        network=INPUTS.networks("encoder_backbone"),
    output:
        accuracy="<results>/{subject}/metrics/encoder.csv",
    log:
        "<logs>/evaluate_encoder/{subject}.log",
    benchmark:
        "<benchmarks>/evaluate_encoder/{subject}.tsv"
    wildcard_constraints:
        subject=NSD_NAME,
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(16000),
        runtime=by_attempt(60),
    params:
        truth=params.flags(truth="truth"),
        weights=PARAMS.weights,
        settings=settings("evaluate_encoder"),
        code=code_digest("brainit.steps.evaluate_encoder"),
    shell:
        "python -m brainit.steps.evaluate_encoder"
        " --subject {wildcards.subject:q}"
        " --encoder {input.encoder:q}"
        " --nsd {input.nsd:q}"
        " --voxels {input.voxels:q}"
        " --betas {input.betas:q}"
        " --trials {input.trials:q}"
        " --stimuli {input.stimuli:q}"
        " {params.truth:q}"
        " --weights {params.weights:q}"
        " --accuracy {output.accuracy:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule check_claims:
    """Check the paper's claims about branches, ablations and transfer on all runs."""
    input:
        metrics=FILES.scores(STUDY.every_score),
        summaries=FILES.scores(STUDY.every_score, "_summary"),
        earlier=rules.check_results.output.checks,
    output:
        checks="<results>/checks_full.csv",
    log:
        "<logs>/check_claims.log",
    benchmark:
        "<benchmarks>/check_claims.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=by_attempt(10),
    params:
        metrics=labelled("metrics", STUDY.every_score),
        summaries=labelled("summaries", STUDY.every_score),
        settings=settings("check_claims"),
        code=code_digest("brainit.steps.check_claims"),
    shell:
        "python -m brainit.steps.check_claims"
        " --metrics {params.metrics:q}"
        " --summaries {params.summaries:q}"
        " --earlier {input.earlier:q}"
        " --checks {output.checks:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule make_report as make_report_full with:
    input:
        tables=table_files(STUDY.tables),
        figures="<results>/figures",
        recons=FILES.recon_folders(STUDY.main_runs),
        other_runs=FILES.recon_folders(STUDY.other_runs),
        metrics=FILES.scores(STUDY.main_scores),
        stimuli=FILES.stimuli(pool="all"),
        trials=FILES.trials(STUDY.cohort),
        ceilings=of_subjects(
            "<results>/{subject}/noise_ceiling/summary.csv", STUDY.cohort
        ),
        checks=rules.check_claims.output.checks,
    output:
        report=report(
            "<results>/report_full.html",
            caption="../report/report.rst",
            category="Report",
            labels={"scope": "everything"},
        ),
        told="<results>/settings_full.json",
    log:
        "<logs>/make_report_full.log",
    benchmark:
        "<benchmarks>/make_report_full.tsv"


rule ablations:
    """The tables of the ablations."""
    input:
        table_files(ABLATION_TABLES),


rule peers:
    """The table of peers, run here on the same data, tokens and generator."""
    input:
        table_files([PEER_TABLE]),


rule everything:
    """All tables, checks and figures, and the report that holds them all."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.report.input,
        rules.ablations.input,
        rules.peers.input,
        rules.make_report_full.output,
