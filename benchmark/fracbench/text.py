"""Text that strangers write and others read: in a terminal, on a page, in a spreadsheet."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

# what a spreadsheet takes for a formula when a table is opened there; the last four are their wide forms
FORMULA = "=+-@＝＋－＠"
# letters and marks that leave no trace on the page, of those that `str.isprintable` lets through
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0"
# names of plugins and of parts of them, which stand in captions, legends and links
WORD_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_/.-]{0,199}$"
EDITORS_PATTERN = rf"^([^\s{re.escape(FORMULA)}].*)?$"  # as much of the rule as an editor can be told


def hidden(text: str) -> str:
    """The first character, such as ``U+202E``, that cannot be seen but steers what can; empty where there is none.

    These are controls, also of direction and width, every space but the plain one, and what Unicode has not assigned.
    """
    found = next((c for c in text if not c.isprintable() or c in BLANK), None)
    return "" if found is None else f"U+{ord(found):04X}"


def checked(text: str) -> str:
    """``text`` as it is: one line that reads as it looks and is no formula. Raises ``ValueError`` for other text."""
    if "\n" in text:
        raise ValueError("has a line break; write it on one line")
    if found := hidden(text):
        raise ValueError(f"has the invisible character {found}; take it out")
    if text.startswith(tuple(FORMULA)):
        raise ValueError(f"begins with {text[0]}, a formula in a spreadsheet; begin with a letter or a digit")
    if text != text.strip():
        raise ValueError("begins or ends with a space; take it out")
    return text


def one_line(text: str, most: int) -> str:
    """``text`` made into what ``checked`` lets pass, at most so many letters; empty where nothing is left."""
    visible = "".join(c if c.isprintable() and c not in BLANK else " " for c in text)
    return " ".join(visible.split()).lstrip(f"{FORMULA} ")[:most].strip()


def for_markdown(text: str) -> str:
    """Text that stays text, by GitHub's rules and Python-Markdown's: no link, no picture, no cell, no HTML."""
    spelt = re.sub(r"[<&@~|]|:(?=//)|(?<=www)\.", lambda sign: f"&#{ord(sign[0])};", text)
    return re.sub(r"([\\`*_{}\[\]()>!])|(?<!&)(#)", r"\\\1\2", spelt)


OneLine = Annotated[str, AfterValidator(checked), Field(json_schema_extra={"pattern": EDITORS_PATTERN})]
