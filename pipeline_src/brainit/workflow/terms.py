"""NSD's terms and data access agreement, accepted before any request; LAION-fMRI's request id."""

from brainit.core.errors import PipelineError
from brainit.workflow.sources import is_remote

AGREEMENT_FORM = "https://forms.gle/xue2bCdM9LaFNMeb7"
TERMS = "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions"  # codespell:ignore slite
CITATIONS = (
    "Allen et al. 2022, A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial"
    " intelligence, Nature Neuroscience 25, 116-126",
)

LAION_REQUEST_ID = "LAION_FMRI_REQUEST_ID"
"""Environment variable of a user's request id for LAION-fMRI's images."""
LAION_REQUEST_FILE = ".cache/laion-fmri/auth.json"
"""File below the home folder in which the owners' package keeps it."""
LAION_REQUEST_PAGE = "https://laion-fmri.hebartlab.com/request"


def require_accepted(source: str, is_accepted: bool) -> None:
    """Raise `PipelineError` unless NSD's terms are accepted or `source` is on this machine.

    The error names the terms, the form and the paper to cite.
    """
    if is_accepted or not is_remote(source):
        return
    raise PipelineError(
        source,
        "NSD's terms accepted (nsd.accept_terms: true)",
        "nsd.accept_terms: false",
        f"read the terms ({TERMS}), file the data access agreement ({AGREEMENT_FORM}), then set"
        f" nsd.accept_terms: true in your config; cite {'; '.join(CITATIONS)}",
        code="terms",
    )
