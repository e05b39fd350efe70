"""The workflow's knowledge for Snakefile and steps; needs the standard library only."""
