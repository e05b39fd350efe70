"""
The paper's ablations: the same steps with other settings, and their tables (T1, T2, T3, T5).

A variant's files exist only from the first step that it changes; all else is the full run's.

Needs    the models and scores of the full run
Makes    <results>/group/all/{variant}, <results>/{subject}/recon_40h_{variant}, tables T1, T2, T3, T5,
         those beyond the paper, <results>/{subject}/metrics/encoder.csv, <results>/checks_full.csv
Steps    make_tables, evaluate_encoder, check_claims, make_report
"""

ABLATION_TABLES = ["t1", "t2", "t3", "t5"]
BEYOND_TABLES = [
    *["nsdsynthetic", "sessions", "subjects", "seeds", "retrieval", "encoder"],
    "failures",
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
        classes=[],
        encoder=[],
        out=lambda wildcards, output: str(Path(output.tables[0]).parents[1]),
        metrics=named_ablations("metrics"),
        summaries=named_ablations("summaries"),
        trials=keyed_subjects("trials"),
        settings=settings(*TABLE_SETTINGS),
        code=code_digest("brainit.steps.make_tables"),


use rule make_tables as make_tables_beyond with:
    input:
        metrics=list(every_score("").values()),
        summaries=list(every_score("_summary").values()),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        classes=class_files(),
        encoder=of_subjects("<results>/{subject}/metrics/encoder.csv", EVALUATED),
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
        classes=lambda wildcards, input: (
            ["--classes", *input.classes] if input.classes else []
        ),
        encoder=lambda wildcards, input: [
            "--encoder",
            *keyed_subjects("encoder", EVALUATED)(wildcards, input),
        ],
        out=lambda wildcards, output: str(Path(output.tables[0]).parents[1]),
        metrics=named_every("metrics"),
        summaries=named_every("summaries"),
        trials=keyed_subjects("trials"),
        settings=settings(*TABLE_SETTINGS),
        code=code_digest("brainit.steps.make_tables"),


rule evaluate_encoder:
    """Score the encoder on the test images of {wildcards.subject}, by part of cortex."""
    input:
        encoder=f"{POOL_MODELS}/encoder/encoder.safetensors",
        nsd="<store>/nsd",
        voxels="<results>/{subject}/betas/voxels.safetensors",
        betas="<results>/{subject}/betas/betas.npy",
        trials="<results>/{subject}/design/trials.csv",
        stimuli="<results>/group/images/stimuli",
        truth=simulated_files("truth"),
        network=network("encoder_backbone"),
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
        mem_mb=by_attempt(16000),
        runtime=by_attempt(60),
    params:
        truth=lambda wildcards, input: (
            ["--truth", str(input.truth)] if SIMULATION else []
        ),
        weights=WEIGHTS,
        settings=settings(
            *[*COMPUTING, *ENCODER],
            "evaluation.n_bootstrap",
        ),
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
    """Hold the paper's claims on branches, ablations and transfer against all runs."""
    input:
        summaries=list(every_score("_summary").values()),
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
        summaries=named_every("summaries"),
        settings=settings("run.simulation", "evaluation.n_permutations"),
        code=code_digest("brainit.steps.check_claims"),
    shell:
        "python -m brainit.steps.check_claims"
        " --summaries {params.summaries:q}"
        " --earlier {input.earlier:q}"
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
        other_runs=[f"<results>/{subject}/recon_{run}" for subject, run in other_runs()],
        metrics=score_files(""),
        stimuli="<results>/group/images/stimuli",
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        ceilings=of_subjects("<results>/{subject}/noise_ceiling/summary.csv"),
        checks=rules.check_claims.output.checks,
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
