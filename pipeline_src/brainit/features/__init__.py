"""Pretrained image networks, loaded through one registry, and the features they compute."""
