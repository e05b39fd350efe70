"""From predicted features to images: Deep Image Prior inversion, diffusion sampling, fusion."""
