"""The boxes of the paper's figures: encoder, clusters, BIT and Deep Image Prior."""
