"""Faults for any file, drawn from a seed: cut, flipped, swollen, doubled, foreign, and links."""

import random
import struct
from collections.abc import Iterator

FOREIGN = {
    "empty": b"",
    "web page": b"<!DOCTYPE html><html><p>sign in</p></html>" * 20,
    "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 39000000000\n",
    "zeros": bytes(3000),
    "noise": random.Random(7).randbytes(3000),
    "text": "z\u00e9ro; \u4e2d\u6587\n".encode() * 40,
    "UTF-16": "a,b\n1,2\n".encode("utf-16") * 30,
    "lone quote": b'a,b\n"1,2\n' * 30,
}


def faults(content: bytes, seed: str, n_head: int) -> Iterator[tuple[str, bytes]]:
    """Yield each fault's name and the faulty content of a file with this good content.

    Bits are flipped, and numbers swollen, only in the `n_head` bytes of the head: in values without
    a checksum no reader could see it.
    """
    draw, n = random.Random(seed), len(content)
    for length in sorted({1, 3, 8, 27, 128, 284, n // 4, n // 2, n - 5, n - 1}):
        if 0 < length < n:
            yield f"cut to {length} of {n}", content[:length]
    yield from FOREIGN.items()
    yield "doubled", content + content
    yield "begins with zeros", bytes(16) + content[16:]
    if not n_head:
        return
    for _ in range(6):
        at, bit = draw.randrange(min(n, n_head)), draw.randrange(8)
        yield f"bit {bit} of byte {at} flipped", _with(content, at, bytes([content[at] ^ 1 << bit]))
    for form in ("<i", ">i", "<q"):
        for value in (2**31 - 1, -1):
            at = draw.randrange(0, max(1, min(n, n_head) - 8), 4)
            yield f"{value} as {form} at {at}", _with(content, at, struct.pack(form, value))


def _with(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]
