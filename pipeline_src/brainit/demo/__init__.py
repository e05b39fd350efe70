"""Training of the tiny networks that the demo ships with; no part of the method."""
