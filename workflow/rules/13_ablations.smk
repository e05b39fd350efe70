"""
The paper's ablations: the same steps with other settings, and their tables (T1, T2, T3, T5).

A variant's files exist only from the first step that it changes; all else is the full run's.

Needs    the models and scores of the full run
Makes    <results>/group/all/{variant}, <results>/{subject}/recon_40h_{variant}, tables T1, T2, T3, T5
Steps    make_tables, make_report
"""

ABLATION_TABLES = ["t1", "t2", "t3", "t5"]


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


use rule make_report as make_report_full with:
    input:
        tables=[
            *rules.make_tables.output.tables,
            *rules.make_tables_ablations.output.tables,
        ],
        figures="<results>/figures",
        recons=[f"<results>/{subject}/recon_{run}" for subject, run in ALL_RUNS],
        metrics=score_files(""),
        stimuli="<results>/group/images/stimuli",
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        ceilings=of_subjects("<results>/{subject}/noise_ceiling/summary.csv"),
        checks=["<results>/checks.csv"] if SIMULATION else [],
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
    """All tables, figures and the report that holds them all."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.report.input,
        rules.ablations.input,
        rules.make_report_full.output,
