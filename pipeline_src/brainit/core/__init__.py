"""What every other layer stands on: settings, artifacts, errors, seeds, files, progress."""
