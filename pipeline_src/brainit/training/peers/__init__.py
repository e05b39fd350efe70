"""Training of the peers: their losses, their batches, on a pool and on a new subject."""
