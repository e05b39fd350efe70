"""The authors' published checkpoints, converted to this pipeline's files."""
