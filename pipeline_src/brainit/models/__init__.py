"""The boxes of the paper's figures: voxel encoder, voxel clusters, Brain Interaction Transformer, Deep Image Prior."""
