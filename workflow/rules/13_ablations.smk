"""
The paper's ablations: the same steps with other settings, and their tables (T1, T2, T3, T5).

A variant's files exist only from the first step that it changes; all else is the full run's.

Needs    the models and scores of the full run
Makes    <results>/group/all/{variant}, <results>/{subject}/recon_40h_{variant}, tables T1, T2, T3, T5,
         those beyond the paper, <results>/checks_full.csv
Steps    make_tables, check_claims, make_report
"""

ABLATION_TABLES = ["t1", "t2", "t3", "t5"]
BEYOND_TABLES = [
    *["nsdsynthetic", "sessions", "subjects", "seeds", "retrieval", "failures"],
]


use rule make_tables as make_tables_ablations with:
    input:
        metrics=list(ablation_scores("").values()),
        summaries=list(ablation_scores("_summary").values()),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
    output:
        tables=expand(
            "<results>/tables/{name}/{name}.{ext}",
            name=ABLATION_TABLES,
            ext=["csv", "md", "html", "tex"],
        ),
    log:
        "<logs>/make_tables_ablations.log",
    benchmark:
        "<benchmarks>/make_tables_ablations.tsv"
    params:
        names=ABLATION_TABLES,
        out=lambda wildcards, output: str(Path(output.tables[0]).parents[1]),
        metrics=named_ablations("metrics"),
        summaries=named_ablations("summaries"),
        trials=keyed_subjects("trials"),
        settings=settings(*TABLE_SECTIONS),
        code=code_digest("brainit.steps.make_tables"),


use rule make_tables as make_tables_beyond with:
    input:
        metrics=list(every_score("").values()),
        summaries=list(every_score("_summary").values()),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
    output:
        tables=expand(
            "<results>/tables/{name}/{name}.{ext}",
            name=BEYOND_TABLES,
            ext=["csv", "md", "html", "tex"],
        ),
    log:
        "<logs>/make_tables_beyond.log",
    benchmark:
        "<benchmarks>/make_tables_beyond.tsv"
    params:
        names=BEYOND_TABLES,
        out=lambda wildcards, output: str(Path(output.tables[0]).parents[1]),
        metrics=named_every("metrics"),
        summaries=named_every("summaries"),
        trials=keyed_subjects("trials"),
        settings=settings(*TABLE_SECTIONS),
        code=code_digest("brainit.steps.make_tables"),


rule check_claims:
    """Hold the paper's claims on branches, ablations and transfer against all runs."""
    input:
        summaries=list(every_score("_summary").values()),
        earlier=["<results>/checks.csv"] if SIMULATION else [],
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
        summaries=named_every("summaries"),
        earlier=lambda wildcards, input: (
            ["--earlier", *input.earlier] if SIMULATION else []
        ),
        settings=settings(),
        code=code_digest("brainit.steps.check_claims"),
    shell:
        "python -m brainit.steps.check_claims"
        " --summaries {params.summaries:q}"
        " {params.earlier:q}"
        " --checks {output.checks:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


use rule make_report as make_report_full with:
    input:
        tables=[
            *rules.make_tables.output.tables,
            *rules.make_tables_ablations.output.tables,
            *rules.make_tables_beyond.output.tables,
        ],
        figures="<results>/figures",
        recons=[f"<results>/{subject}/recon_{run}" for subject, run in ALL_RUNS],
        ceilings=of_subjects("<results>/{subject}/noise_ceiling/summary.csv"),
        checks=[rules.check_claims.output.checks],
    output:
        report="<results>/report_full.html",
    log:
        "<logs>/make_report_full.log",
    benchmark:
        "<benchmarks>/make_report_full.tsv"


rule ablations:
    """The tables of the ablations."""
    input:
        rules.make_tables_ablations.output,


rule everything:
    """All tables, checks and figures, and the report that holds them all."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.report.input,
        rules.ablations.input,
        rules.make_report_full.output,
