"""NSD's files read, masked, normalised, split (paper 5.1). Only here are NSD's paths known."""
