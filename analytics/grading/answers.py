"""Where in a model's reply its answer stands."""

import re

# Replies are read from their end; what lies further back than this is not looked at.
LONGEST = 20_000

_MARKER = re.compile(r"\banswer[\s*_`]{0,4}(?:\bis\b|:|=)", re.IGNORECASE)
_DECORATION = "*`\"'\u201c\u201d\u2018\u2019"


def tail(response: str) -> str:
    """The part of a reply that is read, without surrounding space."""
    return response[-LONGEST:].strip()


def after_marker(text: str) -> str | None:
    """What follows the last 'answer is' or 'Answer:', to the end of its line; None without such words.

    When nothing but decoration follows on that line, the next line that holds something is taken.
    """
    end = None
    for match in _MARKER.finditer(text):
        end = match.end()
    if end is None:
        return None
    lines = (line.strip(_DECORATION + ": \t\r") for line in text[end:].split("\n"))
    return next((line for line in lines if line), None)


def last_line(text: str) -> str:
    """The last line that is not empty, or ''."""
    return text.rstrip().rpartition("\n")[2].strip()


def fences(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a reply: (language in small letters or '', content). One that is never closed ends with the text."""
    blocks: list[tuple[str, str]] = []
    tag: str | None = None
    held: list[str] = []
    for line in text.split("\n"):
        bare = line.strip()
        if tag is None and bare.startswith("```"):
            tag, held = bare.strip("`").strip().lower(), []
        elif tag is not None and bare == "```":
            blocks.append((tag, "\n".join(held)))
            tag = None
        elif tag is not None:
            held.append(line)
    if tag is not None:
        blocks.append((tag, "\n".join(held)))
    return blocks
