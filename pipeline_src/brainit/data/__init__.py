"""Read, mask, normalise and split recordings (paper 5.1); only this package knows NSD's paths."""
