"""
The paper's tables, figures and one HTML report (section 5, A).

Needs    metric summaries, models, reconstructions
Makes    <results>/tables, <results>/figures, <results>/report.html
Steps    make_tables, make_figures, make_report
"""

TABLES = ["table1", "t4", "t6", "t7"]
TABLE_SETTINGS = [
    *["run.seed", "run.simulation", "simulation.n_own_images"],
    *["simulation.n_external_images", "simulation.trials_per_session"],
    *["simulation.image_size", "simulation.voxels_per_hemisphere"],
    *["nsd", "images", "features"],
    *["encoder", "clusters", "synthesis", "bit", "bit_lowlevel", "bit_semantic"],
    *["joint", "transfer", "dip", "recon", "evaluation"],
]
"""The tables' notes hold all of them against the paper's."""


rule make_tables:
    """Write the tables that need no ablation, beside the paper's numbers."""
    input:
        metrics=score_files(""),
        summaries=score_files("_summary"),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
    output:
        tables=expand(
            "<results>/tables/{name}/{name}.{ext}",
            name=TABLES,
            ext=["csv", "md", "html", "tex"],
        ),
    log:
        "<logs>/make_tables.log",
    benchmark:
        "<benchmarks>/make_tables.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=by_attempt(10),
    params:
        names=TABLES,
        classes=[],
        encoder=[],
        out=lambda wildcards, output: str(Path(output.tables[0]).parents[1]),
        metrics=keyed_scores("metrics"),
        summaries=keyed_scores("summaries"),
        trials=keyed_subjects("trials"),
        settings=settings(*TABLE_SETTINGS),
        code=code_digest("brainit.steps.make_tables"),
    shell:
        "python -m brainit.steps.make_tables"
        " --names {params.names:q}"
        " --metrics {params.metrics:q}"
        " --summaries {params.summaries:q}"
        " --trials {params.trials:q}"
        " {params.classes:q}"
        " {params.encoder:q}"
        " --out {params.out:q}"
        " --settings {params.settings:q}"
        " &> {log:q}"


rule make_figures:
    """Draw images, scores, learning curves, and maps of ceilings, clusters and attention."""
    input:
        voxels=of_subjects("<results>/{subject}/betas/voxels.safetensors"),
        betas=of_subjects("<results>/{subject}/betas/betas.npy"),
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        stimuli="<results>/group/images/stimuli",
        encoder=f"{POOL_MODELS}/encoder/encoder.safetensors",
        clusters=f"{POOL_MODELS}/clusters/clusters.safetensors",
        bit=f"{POOL_MODELS}/joint/bit.safetensors",
        histories=list(histories().values()),
        metrics=score_files(""),
        summaries=score_files("_summary"),
        recons=of_subjects("<results>/{subject}/recon_40h", EVALUATED),
        truth=simulated_files("truth"),
        card=simulated_files("card.json"),
        network=network("encoder_backbone"),
    output:
        figures=directory("<results>/figures"),
    log:
        "<logs>/make_figures.log",
    benchmark:
        "<benchmarks>/make_figures.tsv"
    priority: 1
    conda:
        "../../envs/pipeline.yaml"
    threads: THREADS
    resources:
        mem_mb=by_attempt(4000),
        runtime=by_attempt(60),
    params:
        voxels=keyed_subjects("voxels"),
        betas=keyed_subjects("betas"),
        trials=keyed_subjects("trials"),
        histories=lambda wildcards, input: [
            f"{label}={path}" for label, path in zip(histories(), input.histories)
        ],
        metrics=keyed_scores("metrics"),
        summaries=keyed_scores("summaries"),
        recons=keyed_recons("recons"),
        truth=truth_flags,
        weights=WEIGHTS,
        settings=settings(
            *COMPUTING,
            "run.simulation",
            "nsd.evaluated",
            "evaluation.n_bootstrap",
            *ENCODER,
        ),
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
        tables=rules.make_tables.output.tables,
        figures="<results>/figures",
        recons=[f"<results>/{subject}/recon_{run}" for subject, run in ALL_RUNS],
        other_runs=[],
        metrics=score_files(""),
        stimuli="<results>/group/images/stimuli",
        trials=of_subjects("<results>/{subject}/design/trials.csv"),
        ceilings=of_subjects("<results>/{subject}/noise_ceiling/summary.csv"),
        checks=rules.check_results.output.checks,
    output:
        report="<results>/report.html",
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
        recons=keyed_recons("recons"),
        other_runs=keyed_recons("other_runs"),
        metrics=keyed_scores("metrics"),
        trials=keyed_subjects("trials"),
        ceilings=keyed_subjects("ceilings"),
        benchmarks=str(RESULTS / "benchmarks"),
        settings=settings(
            *["run", "models", "simulation", "ablations", "seeds", *TABLE_SETTINGS]
        ),
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
        " --settings {params.settings:q}"
        " &> {log:q}"


rule tables:
    """All tables."""
    input:
        rules.make_tables.output,


rule figures:
    """All figures."""
    input:
        rules.make_figures.output,


rule report:
    """The report, which holds tables, figures and checks."""
    input:
        rules.make_report.output,
