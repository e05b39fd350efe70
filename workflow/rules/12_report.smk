"""
The paper's tables, figures and one HTML report (section 5, A).

Needs    metric summaries, models, reconstructions
Makes    <results>/tables, <results>/figures, <results>/report.html
Steps    make_table, make_figures, make_report
"""


rule make_table:
    """Write table {wildcards.table}: the paper's numbers, ours and their difference."""
    input:
        metrics=INPUTS.table_scores(""),
        summaries=INPUTS.table_scores("_summary"),
        trials=FILES.trials(STUDY.cohort),
        classes=INPUTS.table_classes,
        encoder=INPUTS.table_encoder,
        costs=INPUTS.peer_histories,
        identification=INPUTS.table_identifications,
    output:
        csv="<results>/tables/{table}/{table}.csv",
        md="<results>/tables/{table}/{table}.md",
        html=report(
            "<results>/tables/{table}/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        tex="<results>/tables/{table}/{table}.tex",
    log:
        "<logs>/make_table/{table}.log",
    benchmark:
        "<benchmarks>/make_table/{table}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=by_attempt(10),
    params:
        out=lambda wildcards, output: str(Path(output.csv).parents[1]),
        metrics=labelled("metrics", INPUTS.names_of_table_scores),
        summaries=labelled("summaries", INPUTS.names_of_table_scores),
        trials=labelled("trials", STUDY.cohort),
        classes=params.flag("--classes", "classes"),
        encoder=PARAMS.encoder_flags,
        costs=PARAMS.cost_flags,
        identification=PARAMS.identification_flags,
        settings=settings("make_table"),
        code=code_digest("brainit.steps.make_table"),
    shell:
        "python -m brainit.steps.make_table"
        " --name {wildcards.table:q}"
        " --metrics {params.metrics:q}"
        " --summaries {params.summaries:q}"
        " --trials {params.trials:q}"
        " {params.classes:q}"
        " {params.encoder:q}"
        " {params.costs:q}"
        " {params.identification:q}"
        " --out {params.out:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule make_figures:
    """Draw images, scores, learning curves, and maps of ceilings, clusters and attention."""
    input:
        voxels=of_subjects(
            "<results>/{subject}/betas/voxels.safetensors", STUDY.subjects
        ),
        betas=of_subjects("<results>/{subject}/betas/betas.npy", STUDY.subjects),
        trials=FILES.trials(STUDY.subjects),
        stimuli=FILES.stimuli(pool="all"),
        encoder=f"{FILES.pool_models}/encoder/encoder.safetensors",
        clusters=f"{FILES.pool_models}/clusters/clusters.safetensors",
        bit=f"{FILES.pool_models}/joint/bit.safetensors",
        histories=list(FILES.histories().values()),
        metrics=FILES.scores(STUDY.main_scores),
        summaries=FILES.scores(STUDY.main_scores, "_summary"),
        recons=FILES.recon_folders(STUDY.shown_runs),
        truth=FILES.truth("truth"),
        card=FILES.truth("card.json"),
        network=INPUTS.networks("encoder_backbone"),
    output:
        figures=report(
            directory("<results>/figures"),
            patterns=["{figure}.png"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<logs>/make_figures.log",
    benchmark:
        "<benchmarks>/make_figures.tsv"
    priority: 1
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=by_attempt(4000),
        runtime=by_attempt(60),
    params:
        voxels=labelled("voxels", STUDY.subjects),
        betas=labelled("betas", STUDY.subjects),
        trials=labelled("trials", STUDY.subjects),
        histories=labelled("histories", FILES.histories()),
        metrics=labelled("metrics", STUDY.main_scores),
        summaries=labelled("summaries", STUDY.main_scores),
        recons=params.recons_by_run("recons"),
        truth=params.flags(truth="truth", card="card"),
        weights=PARAMS.weights,
        settings=settings("make_figures"),
        code=code_digest("brainit.steps.make_figures"),
    shell:
        "python -m brainit.steps.make_figures"
        " --voxels {params.voxels:q}"
        " --betas {params.betas:q}"
        " --trials {params.trials:q}"
        " --stimuli {input.stimuli:q}"
        " --encoder {input.encoder:q}"
        " --clusters {input.clusters:q}"
        " --bit {input.bit:q}"
        " --histories {params.histories:q}"
        " --metrics {params.metrics:q}"
        " --summaries {params.summaries:q}"
        " --recon {params.recons:q}"
        " {params.truth:q}"
        " --weights {params.weights:q}"
        " --out {output.figures:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule make_report:
    """Put tables, checks, figures and images into one HTML file."""
    input:
        tables=table_files(TABLES),
        figures="<results>/figures",
        recons=FILES.recon_folders(STUDY.main_runs),
        other_runs=[],
        metrics=FILES.scores(STUDY.main_scores),
        stimuli=FILES.stimuli(pool="all"),
        trials=FILES.trials(STUDY.cohort),
        ceilings=of_subjects(
            "<results>/{subject}/noise_ceiling/summary.csv", STUDY.cohort
        ),
        checks=rules.check_results.output.checks,
    output:
        report=report(
            "<results>/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"scope": "the paper's tables"},
        ),
        told="<results>/settings.json",
    log:
        "<logs>/make_report.log",
    benchmark:
        "<benchmarks>/make_report.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(4000),
        runtime=by_attempt(10),
    params:
        recons=params.recons_by_run("recons"),
        other_runs=params.recons_by_run("other_runs"),
        metrics=labelled("metrics", STUDY.main_scores),
        trials=labelled("trials", STUDY.cohort),
        ceilings=labelled("ceilings", STUDY.cohort),
        benchmarks=str(RESULTS / "benchmarks"),
        settings=settings("make_report"),
        code=code_digest("brainit.steps.make_report"),
    shell:
        "python -m brainit.steps.make_report"
        " --tables {input.tables:q}"
        " --figures {input.figures:q}"
        " --recon {params.recons:q}"
        " --other-runs {params.other_runs:q}"
        " --metrics {params.metrics:q}"
        " --stimuli {input.stimuli:q}"
        " --trials {params.trials:q}"
        " --ceilings {params.ceilings:q}"
        " --checks {input.checks:q}"
        " --benchmarks {params.benchmarks:q}"
        " --out {output.report:q}"
        " --told {output.told:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule tables:
    """All tables."""
    input:
        table_files(TABLES),


rule figures:
    """All figures."""
    input:
        rules.make_figures.output,


rule report:
    """The report, which holds tables, figures and checks."""
    input:
        rules.make_report.output,
