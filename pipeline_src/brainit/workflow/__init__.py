"""What the Snakefile and the steps know of the workflow; needs the standard library only."""
