"""Blind baselines in closed form: ridge regression and nearest neighbours, on plain arrays."""
