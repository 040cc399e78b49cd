"""The media types of texts that may be shown, and what a text of each must be.

The law: a media type is one of these, spelled exactly so; its text passes the rules of ``text``, and those of
its type. Gateway and authenticator both ask here before a person sees anything. A verifier years later does
not: it asks for the type alone. Left to ``statement``: how the text stands in what is signed.
"""

from __future__ import annotations

from typing import Final

from gateway.core import markdown
from gateway.core.errors import InvalidValue
from gateway.core.statement import ShownText
from gateway.core.text import displayable

PLAIN: Final = "text/plain"
MARKDOWN: Final = "text/markdown; variant=mobileid-1"
"""RFC 7763 with a variant of our own: ``docs/markdown.md``."""

MEDIA_TYPES: Final = (PLAIN, MARKDOWN)
MAX_TITLE_LENGTH: Final = 200
"""Code points."""


def shown_text(title: str, *, text: str, media_type: str, max_length: int, field: str) -> ShownText:
    """A title and a text with LF line ends that may be shown; ``field`` is where they stand in the request.

    ``max_length``: of the text, in code points. Raises InvalidValue, TextTooLong, TextNotDisplayable or
    TextNotMarkdown.
    """
    if media_type not in MEDIA_TYPES:
        accepted = " and ".join(MEDIA_TYPES)
        raise InvalidValue(f"{accepted} are accepted.", field=f"{field}.mediaType")
    title = displayable(title, field=f"{field}.title", max_length=MAX_TITLE_LENGTH, multiline=False)
    text = displayable(text, field=f"{field}.content", max_length=max_length)
    if media_type == MARKDOWN:
        markdown.parse(text, field=f"{field}.content")
    return ShownText(title=title, text=text, media_type=media_type)


def as_text(shown: ShownText) -> str:
    """What a terminal shows of it."""
    if shown.media_type == MARKDOWN:
        return markdown.plain(markdown.parse(shown.text, field="content"))
    return shown.text
