"""Metrics with the field's definitions, tables beside the paper's numbers, and checks against the simulation's truth."""
