"""NSD's files read, masked, normalised and split (paper section 5.1). The only layer that knows NSD's paths."""
