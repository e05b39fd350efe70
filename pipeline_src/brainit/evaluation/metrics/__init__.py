"""Scores of reconstructions against targets, and the statistics beside them (paper section 5.2)."""
