"""Open data sets as a lab's subjects: LAION-fMRI, MOSAIC, outputs of GLMsingle."""
