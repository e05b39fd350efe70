"""Terms, licence and citation of the open data sets, which a user accepts before any request."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.workflow.sources import is_remote

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenTerms:
    """What a data set asks of its users."""

    name: str
    licence: str
    url: str
    cite: tuple[str, ...]


LAION = OpenTerms(
    "LAION-fMRI",
    "CC0 1.0 for the fMRI; the images have an agreement of their own",
    "https://laion-fmri.hebartlab.com",
    (
        "Zerbe, Roth, Mell, Herholz, Knapen, Hebart 2026, LAION-fMRI, Vision Sciences Society",
        "https://registry.opendata.aws/laion-fmri",
    ),
)
MOSAIC = OpenTerms(
    "MOSAIC",
    "CC BY 4.0 for the fMRI; each origin's terms for its images",
    "https://mosaic.csail.mit.edu",
    (
        "Lahner et al. 2025, MOSAIC, bioRxiv 10.64898/2025.11.28.690060",
        "the original data set of each subject",
    ),
)


def require_open_terms(terms: OpenTerms, source: str, is_accepted: bool, record: Path) -> None:
    """Raise `PipelineError` unless the terms are accepted or `source` is on this machine.

    The acceptance is written to `record` (.json: terms, licence, day). Call it before any request.
    """
    if not is_remote(source):
        return
    cite = "; ".join(terms.cite)
    if not is_accepted:
        raise PipelineError(
            source,
            f"the terms of {terms.name} accepted (--accept-terms)",
            "no --accept-terms",
            f"read the terms ({terms.url}; {terms.licence}), then add --accept-terms; cite {cite}",
            code="terms",
        )
    logger.info(
        "terms of %s (%s) accepted by --accept-terms; cite %s", *(terms.name, terms.url), cite
    )
    if not record.is_file():
        content = {
            "accepted": "by --accept-terms",
            "day": datetime.now(UTC).date().isoformat(),
            "terms": terms.url,
            "licence": terms.licence,
            "cite": list(terms.cite),
        }
        write_text(record, json.dumps(content, indent=1) + "\n")
