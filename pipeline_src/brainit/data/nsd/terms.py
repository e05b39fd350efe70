"""Require that the user has accepted NSD's terms, before any request."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.core.settings import NsdSettings
from brainit.data.nsd.addresses import AGREEMENT_FORM, CITATIONS, TERMS
from brainit.workflow.sources import is_remote

logger = logging.getLogger(__name__)


def require_terms(nsd: NsdSettings, source: str, folder: Path) -> None:
    """Raise `PipelineError` unless NSD's terms are accepted or `source` is on this machine.

    The error names the form, the terms and the papers to cite. The acceptance is recorded in
    `folder` (`nsd_terms_accepted.json`: terms, form, day). Call it before any request.
    """
    if not is_remote(source):
        return
    if not nsd.accept_terms:
        raise PipelineError(
            source,
            "NSD's terms accepted (nsd.accept_terms: true)",
            "nsd.accept_terms: false",
            f"read the terms ({TERMS}), file the data access agreement ({AGREEMENT_FORM}), then set"
            f" nsd.accept_terms: true in your config; cite {'; '.join(CITATIONS)}",
            code="terms",
        )
    logger.info("NSD's terms (%s) are accepted by nsd.accept_terms; cite %s", TERMS, CITATIONS[0])
    marker = folder / "nsd_terms_accepted.json"
    if not marker.is_file():
        content = {
            "accepted": "by nsd.accept_terms: true in the settings of this run",
            "day": datetime.now(UTC).date().isoformat(),
            "terms": TERMS,
            "agreement_form": AGREEMENT_FORM,
            "cite": CITATIONS,
        }
        write_text(marker, json.dumps(content, indent=1) + "\n")
