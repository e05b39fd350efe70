"""The Natural Scenes Dataset: terms, download, design, masks and betas (paper section 5.1)."""
