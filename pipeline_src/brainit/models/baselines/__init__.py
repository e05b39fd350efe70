"""Blind baselines in closed form: ridge regression and nearest neighbours, on plain arrays."""

MOST_LEFT_OUT = 1000
"""Images left out at most, drawn at random where there are more: as many as NSD validates with."""
