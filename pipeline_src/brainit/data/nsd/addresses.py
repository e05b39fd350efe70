"""Addresses of NSD's terms and data access agreement, and the paper to cite.

A file without imports: `brainit doctor` reads it before any package is installed.
"""

AGREEMENT_FORM = "https://forms.gle/xue2bCdM9LaFNMeb7"
TERMS = "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions"  # codespell:ignore slite
CITATIONS = (
    "Allen et al. 2022, A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial"
    " intelligence, Nature Neuroscience 25, 116-126",
)
