"""The Python door: load what the pipeline made and use it without Snakemake."""
