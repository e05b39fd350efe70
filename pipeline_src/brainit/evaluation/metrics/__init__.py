"""Metrics of reconstructions against targets, and statistics of their scores (section 5.2)."""
