"""Base layer: settings, artifacts, errors, seeds, files, locks, checkpoints and progress."""
