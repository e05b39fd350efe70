"""Brain-IT (Beliy, Zalcher et al., ICLR 2026, arXiv 2510.25976), from NSD's files to tables."""

__version__ = "0.1.0"
