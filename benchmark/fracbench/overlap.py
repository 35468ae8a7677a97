"""Declared training data against the images of a run: by hash where the submission lists hashes, else by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fracbench.errors import InputError
from fracbench.files import beside
from fracbench.schema import SHA256_PATTERN
from fracbench.submission_schema import Training

if TYPE_CHECKING:
    from fracbench.plan import Job
    from fracbench.submissions import Entry

MAX_BYTES = 32 * 2**20  # of a list of hashes


def listed_hashes(entry: Entry) -> frozenset[str]:
    """The SHA-256 (hex) that begins each line of the file under ``training: hashes:``; empty without one.

    What follows on a line, such as the name that ``sha256sum`` prints, is not read, nor are empty lines. Raises
    ``InputError`` where the file is not beside the YAML, too large, or has another line.
    """
    name = entry.submission.training.hashes
    if name is None:
        return frozenset()
    path = beside(entry.folder, name, "hashes")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"hashes: {path} is larger than {MAX_BYTES // 2**20} MiB; list the hashes alone")
    found = set()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        word = line[:65].decode("ascii", "replace").partition(" ")[0].strip()
        if re.fullmatch(SHA256_PATTERN, word):
            found.add(word.lower())
        elif line.strip():
            raise InputError(
                f"hashes: line {number} of {path} does not begin with a SHA-256; write the 64 digits that "
                "`fracbench data KIND --hashes FILE` or `sha256sum` prints"
            )
    return frozenset(found)


def compare(training: Training, job: Job, listed: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What is known of declared training data and the images of a job.

    ``such_images``: whether the data named is the kind of data evaluated; ``by``: hashes or names; ``images``: how many
    of the evaluated images are listed, None without hashes; ``badge``: the words on the row, empty for no overlap.
    """
    name = job.spec.dataset.name
    said = re.findall(r"[\w-]+", training.data.casefold())
    count = sum(digest in listed for digest in job.image_hashes) if listed else None
    badge = ""
    if count:
        badge = f"trained on {count} of these {len(job.image_hashes)} images"
    elif name in said and job.split in training.splits:
        badge = "training data overlaps"
    elif name in said and not training.splits and not listed:
        badge = "training split not stated"
    such = name in said or getattr(job.dataset, "like", name) in said
    return {"such_images": such, "by": "hashes" if listed else "names", "images": count, "badge": badge}
