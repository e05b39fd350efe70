"""A simulated NSD with known ground truth: scenes, brains and files in NSD's own formats."""
