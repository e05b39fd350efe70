"""Sub-commands of the `brainit` program."""
