"""The page that an auditor reads: what was shown, to whom, who signed with what, when, what was checked.

The law: the page is made from the conclusion and from verified bytes alone; of a document that is not
TOTAL-PASSED nothing but the conclusion is shown. It is one HTML file without scripts and addresses, and
every value in it is escaped. It proves nothing by itself: it says how to verify the document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from html import escape

from gateway.core import markdown
from gateway.core.conclusion import Conclusion, Indication
from gateway.core.errors import TextNotMarkdown
from gateway.core.evidence import Evidence
from gateway.core.model import Decision, format_time
from gateway.core.shown import MARKDOWN
from gateway.core.statement import ShownText

_STYLE = """
:root{color-scheme:light dark;--ok:#1a7f37;--bad:#b42318;--dim:#6b7280;--line:#d0d5dd}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.25rem}h2{font-size:1.1rem;margin-top:2rem}
.verdict{border-left:.5rem solid var(--bad);padding:.5rem 1rem;margin:1rem 0;background:#f2f4f722}
.verdict.passed{border-color:var(--ok)}.verdict strong{font-size:1.25rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid var(--line)}th{font-weight:600;width:14rem}
pre{font-size:.8rem;white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);
padding:1rem;border-radius:.4rem}
.shown{border:1px solid var(--line);padding:0 1rem;border-radius:.4rem;overflow-wrap:anywhere}
.shown h1{font-size:1.15rem}.shown h2{font-size:1rem;margin-top:1rem}
code{overflow-wrap:anywhere}.ok{color:var(--ok)}.bad{color:var(--bad)}.dim{color:var(--dim)}
"""


def render(conclusion: Conclusion, *, data: bytes, at: str, commands: Iterable[tuple[str, str]] = ()) -> str:
    """A whole HTML page. ``at``: the time of verification; ``commands``: (what it checks, command line)."""
    passed = conclusion.indication is Indication.TOTAL_PASSED
    verdict = conclusion.indication + (f" / {conclusion.sub_indication}" if conclusion.sub_indication else "")
    if conclusion.decision not in (None, Decision.APPROVED):
        passed, verdict = False, f"{verdict}: A REFUSAL"  # never to look like a consent
    parts = [
        "<h1>Evidence</h1><p class=dim>SHA-256 of the document: "
        f"<code>{hashlib.sha256(data).hexdigest()}</code></p>",
        f'<div class="verdict{" passed" if passed else ""}"><strong>{escape(verdict)}</strong>'
        f"<br>{escape(conclusion.explanation)}."
        + (f"<br>{escape(conclusion.remedy)}" if conclusion.remedy else "")
        + f"<br><span class=dim>Verified at {escape(at)}</span></div>",
    ]
    if conclusion.evidence is not None:
        parts.append(_said(conclusion.evidence))
    parts.append(
        "<h2>What was checked</h2><table><tr><th>Step</th><th>Check</th><th>Result</th></tr>"
        + "".join(
            f"<tr><td>{check.step}</td><td>{escape(check.name)}</td>"
            f'<td class="{"ok" if check.passed else "bad"}">{"✓" if check.passed else "✗"} '
            f"{escape(check.says)}</td></tr>"
            for check in conclusion.checks
        )
        + "</table>"
    )
    lines = [f"<p>{escape(what)}</p><pre>{escape(line)}</pre>" for what, line in commands]
    if lines:
        parts.append("<h2>Verify it without us</h2>" + "".join(lines))
    return (
        '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>Evidence: {escape(verdict)}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _said(evidence: Evidence) -> str:
    content = evidence.content
    shown = "".join(_shown(text, locale=content.locale) for text in content.texts)
    if content.payment is not None:
        payees = (
            (f"To {p.name}", f"{p.amount} {content.payment.currency}, {p.account}")
            for p in content.payment.payees
        )
        shown += _table([("Total", f"{content.payment.total} {content.payment.currency}"), *payees])
    shown += _table(
        (f"Document {d.name}", f"{d.media_type}, SHA-256 {d.digest.hex()}") for d in content.documents
    )
    attributes = [(a.name, a.value) for a in evidence.attributes]
    factors = ", ".join(f"{f.method} ({f.how}, verified by the {f.verified_by})" for f in evidence.factors)
    return (
        "<h2>Who</h2>"
        + _table(
            [
                ("Relying party", f"{content.relying_party.name} ({content.relying_party.id})"),
                ("Subject, as the relying party names them", evidence.external_ref),
                *attributes,
                ("Pseudonym in the statement", content.subject),
            ]
        )
        + "<h2>Decided</h2>"
        + _table(
            [
                ("Decision", evidence.decision),
                ("Kind", content.kind),
                ("Transaction", str(content.transaction_id)),
                ("Requested", format_time(content.created_at)),
                ("Taken by the device", format_time(evidence.claimed_at)),
                ("Signed by the device", format_time(evidence.device_signature.signing_time)),
                ("Received by the gateway", format_time(evidence.decided_at)),
                ("Would have expired", format_time(content.expires_at)),
            ]
        )
        + "<h2>What was shown and signed</h2>"
        + shown
        + "<h2>With what</h2>"
        + _table(
            [
                ("Device binding", str(evidence.binding_id)),
                ("Platform", evidence.platform),
                ("Bound", format_time(evidence.bound_at)),
                (
                    "Signing key",
                    f"{evidence.attestation.verdict} (attestation: {evidence.attestation.format})",
                ),
                ("Factors", factors),
                ("Authentication context (acr)", evidence.acr),
                ("Failed tries before", str(evidence.failed_attempts)),
                ("Signature profile", f"{evidence.profile_id}, SHA-256 {evidence.profile_digest.hex()}"),
                ("Sealed by", evidence.software),
            ]
        )
    )


def _shown(text: ShownText, *, locale: str) -> str:
    """A title and a text; of markdown the rendering that was shown, and by it the source that was signed."""
    lang = escape(locale)
    source = f'<pre lang="{lang}">{escape(text.text)}</pre>'
    if text.media_type == MARKDOWN:
        said = f"<p class=dim>The source, as signed ({escape(text.media_type)}):</p>"
        try:
            rendered = markdown.html(markdown.parse(text.text, field="content"))
        except TextNotMarkdown as refused:
            # The verifier does not judge an old text again, and nothing is shown somehow.
            said += f"<p class=bad>It is not rendered here: {escape(refused.message)}</p>"
        else:
            said = f'<div class=shown lang="{lang}">{rendered}</div>{said}'
        source = said + source
    return f"<h3>{escape(text.title)}</h3>{source}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    written = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{written}</table>" if written else ""
