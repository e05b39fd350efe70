#!/usr/bin/env bash
# Snakemake runs this inside the new environment, from the repository's root: what `make setup` installs.
set -euo pipefail
python -m pip install torch torchvision -e "$PWD" -c "$PWD/envs/constraints.txt"
