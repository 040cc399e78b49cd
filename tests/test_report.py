"""The auditor's page: a text is on it as it was shown, and markdown with the source that was signed."""

from __future__ import annotations

import sys
from html import unescape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "vectors" / "evidence"))

import forge as f
from vectors_content import MARKED_UP, marked_up

from gateway.core.certpath import parse_trust
from gateway.core.report import render
from gateway.core.statement import Content
from gateway.core.verifier import verify_evidence


def page(content: Content) -> str:
    data = f.seal(f.model(content))
    conclusion = verify_evidence(data, trust=parse_trust(f.TRUST), at=f.AT)
    return render(conclusion, data=data, at="2026-03-02T09:40:00Z")


def test_markdown_is_rendered_and_its_source_stands_by_it() -> None:
    shown = page(MARKED_UP)
    assert (
        '<div class=shown lang="en"><h1>Mortgage</h1>\n<p>I borrow <strong>348.500 €</strong>.</p>\n</div>'
        in shown
    )
    assert '<pre lang="en"># Mortgage\n\nI borrow **348.500 €**.</pre>' in shown
    assert "(text/markdown; variant=mobileid-1)" in shown


def test_what_is_outside_of_the_grammar_is_shown_as_its_source_alone() -> None:
    shown = page(marked_up("# <b>\nx"))
    assert "TOTAL-PASSED" in shown
    assert "<div class=shown" not in shown
    assert "It is not rendered here" in shown
    assert '<pre lang="en"># &lt;b&gt;\nx</pre>' in shown


def test_a_plain_text_is_not_rendered() -> None:
    shown = page(f.content())
    assert "<div class=shown" not in shown
    assert "The source, as signed" not in shown
    assert f'<pre lang="en">{f.content().texts[0].text}</pre>' in unescape(shown)
