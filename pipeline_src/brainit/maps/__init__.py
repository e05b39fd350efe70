"""Maps of a subject's voxels as GIFTI, CIFTI or NIfTI files, for any viewer of brains."""
