"""Require that the user has accepted NSD's terms, before any request."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from brainit.core.files import write_text
from brainit.core.settings import NsdSettings
from brainit.workflow.sources import is_remote
from brainit.workflow.terms import AGREEMENT_FORM, CITATIONS, TERMS, require_accepted

logger = logging.getLogger(__name__)


def require_terms(nsd: NsdSettings, source: str, folder: Path) -> None:
    """Raise `PipelineError` unless NSD's terms are accepted or `source` is on this machine.

    The acceptance is recorded in `folder` (`nsd_terms_accepted.json`: terms, form, day). Call it
    before any request.
    """
    require_accepted(source, nsd.accept_terms)
    if not is_remote(source):
        return
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
