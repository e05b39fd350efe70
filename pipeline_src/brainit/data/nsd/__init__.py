"""The Natural Scenes Dataset: paths, terms, download, design, betas, masks (paper section 5.1)."""
