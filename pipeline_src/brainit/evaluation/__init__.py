"""Scores of reconstructions and of the encoder, tables of them, and checks."""
