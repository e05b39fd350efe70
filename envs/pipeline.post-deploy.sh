#!/usr/bin/env bash
# Snakemake runs this inside the new environment, from the repository's root: what `make setup` installs.
set -euo pipefail
python -m pip install torch==2.13.0 torchvision==0.28.0 -e "$PWD" -c "$PWD/envs/constraints.txt"
