"""What an image of a lab's folder is, however a table writes it: one identity for one image.

A row of `images.npy` is a number: `5`, `05` and `5.0` (pandas, where a column lacks values) are one
image. A file name is text in Unicode's composed form, because macOS stores decomposed names. Two
spellings of one image must not look like two images: one could train and the other test.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import NewType

ImageId = NewType("ImageId", str)
"""Canonical text of an image; equal for equal images, and for these alone."""

_WHOLE = re.compile(r"\+?(\d+)(\.0*)?", re.ASCII)


def image_id(text: str, *, is_row: bool) -> ImageId:
    """Return the identity of the image that a table calls `text`: a row's number or a file's name.

    A row that is no whole number keeps its text, which then names no image.
    """
    if not is_row:
        return ImageId(unicodedata.normalize("NFC", text))
    whole = _WHOLE.fullmatch(text.strip())
    return ImageId(str(int(whole[1])) if whole else text)


def shown_name(name: str, known: Iterable[str]) -> str:
    """Return a missing name for a message: quoted if it holds odd signs, with the most like it."""
    shown = _quoted(name)
    near = difflib.get_close_matches(name, list(known), 1)
    return f"{shown} (most like it: {_quoted(near[0])})" if near else shown


def _quoted(name: str) -> str:
    is_plain = name == name.strip() and name.isprintable() and name.isascii()
    return name if is_plain else ascii(name)
