"""Training of the demo's small networks (`make backbones`); not part of the method."""
