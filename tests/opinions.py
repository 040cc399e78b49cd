"""What stock judges of XML signatures think of each wrapped message, beside the gateway.

The law: libxmlsec (python-xmlsec) and signxml are given the pinned certificate and the ids of WS-Security, as
their manuals say, and verify the first Signature of the document. They judge a signature; whether what it is
over is what an application reads is not theirs to say, so where one of them says "valid" and the gateway
refuses, the reason is found from the message itself. A disagreement without a reason is a failure.

    python tests/opinions.py     writes docs/reports/wrapping.md
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import xmlsec
from cryptography.hazmat.primitives.serialization import Encoding
from forging import parsed
from lxml import etree
from signed import NS, WSU, Signer
from signed_bank import BANK, OTHER, RULES, Bank, credential
from signxml import SignatureConfiguration, XMLVerifier
from signxml.exceptions import InvalidDigest, InvalidSignature
from soap_support import CREDENTIAL, MAX_BYTES, NOW
from wrapping import AXES, TARGETS, Variant, body_product, honest, messages, pairs, unchanged

from gateway.core.errors import GatewayError, NotAuthenticated
from gateway.soap import guard
from gateway.soap.envelope import TNS, SoapVersion
from gateway.soap.security import UNDERSTOOD, AnyAuthenticator

REPORT = Path(__file__).parents[1] / "docs" / "reports" / "wrapping.md"
VALID, INVALID, ERROR = "valid", "invalid", "error"
WRAPPED = "what it signs is not what is read"
SECURITY = "Security stands twice, or is for another"
SHAPE = "a Signature of another shape"
REASONS = {
    WRAPPED: "The References lead to the hidden element. The judge verifies what was signed; the gateway"
    " reads another, which no Reference is to.",
    SECURITY: "The judge knows no actors, and takes the first Signature there is.",
    SHAPE: "Signature or KeyInfo holds more than it has in WS-Security. The judge reads past it.",
    "MALFORMED_MESSAGE": "No envelope of the gateway's: more than Header and Body in it, or not one element"
    " in Body, or a DOCTYPE, a comment or a processing instruction. The judge looks at no envelope.",
    "HEADER_NOT_UNDERSTOOD": "A block that must be understood is not. The judge knows no SOAP.",
    "ADDRESSING_NOT_SUPPORTED": "An Action holds an element. The judge knows no WS-Addressing.",
    "an id stands twice": "One id in two spellings. The judge looks at one spelling alone.",
    "Security holds more than a signed message's parts": "The judge looks at the Signature alone.",
}
"""By what the gateway refuses for: why a judge says "valid" all the same."""


@dataclass(frozen=True, slots=True)
class Judged:
    variant: Variant
    code: str
    """Of the answer; OK where there was no fault."""
    faults: int
    executed: int
    seconds: float
    """Of the process, for the answer."""
    libxmlsec: str
    signxml: str
    reason: str
    """The class of the refusal, where a judge disagrees."""


def libxmlsec(data: bytes, by: Signer) -> str:
    try:
        root = parsed(data)
        signature = root.find(".//ds:Signature", NS)
        if signature is None:
            return ERROR
        context = xmlsec.SignatureContext()
        for element in root.iter():
            if isinstance(element.tag, str) and element.get(f"{{{WSU}}}Id") is not None:
                context.register_id(element, "Id", WSU)
        context.key = xmlsec.Key.from_memory(_pem(by), xmlsec.KeyFormat.CERT_PEM)
        context.verify(signature)
    except xmlsec.VerificationError:
        return INVALID
    except (xmlsec.Error, etree.XMLSyntaxError):
        return ERROR
    return VALID


@cache
def _pem(by: Signer) -> bytes:
    return by.certificate.public_bytes(Encoding.PEM)


SIGNXML = SignatureConfiguration(expect_references=True, verification_time=NOW)


def signxml(data: bytes, by: Signer) -> str:
    try:
        XMLVerifier().verify(
            data, x509_cert=by.certificate, id_attribute="Id", expect_config=SIGNXML, validate_schema=False
        )
    except (InvalidSignature, InvalidDigest):
        return INVALID
    except Exception:  # whatever its parser, its tables of algorithms or its search for ids raise
        return ERROR
    return VALID


AUTHENTICATOR = AnyAuthenticator([credential("core", BANK), credential("other", OTHER)], rules=RULES)


def refusal(data: bytes, version: SoapVersion) -> str:
    """Why the gateway refuses: a gate's code, or what is wrong with the signed message."""
    posted = guard.Posted(version, None, (), None, data, None)
    try:
        message = guard.parse(posted, understood=UNDERSTOOD)
        AUTHENTICATOR.authenticate(message, at=NOW)
    except NotAuthenticated as error:
        if not _covered(message):
            return WRAPPED
        if error.__cause__ is None:
            return SECURITY
        why = str(error.__cause__)
        return SHAPE if why.endswith(("is not in its place", "holds more than it may")) else why
    except GatewayError as error:
        return error.code
    return "none"


def _covered(message: guard.Message) -> bool:
    """Whether the first Signature has References to all that is read, by wsu:Id."""
    signature = message.envelope.find(".//ds:Signature", NS)
    uris = [] if signature is None else [r.get("URI") for r in signature.iterfind(".//ds:Reference", NS)]
    stamps = message.envelope.findall(f".//{{{WSU}}}Timestamp")
    read = [message.body, *message.addressing.blocks, *stamps[:1]]
    return all(f"#{part.get(f'{{{WSU}}}Id')}" in uris for part in read)


def judge_all() -> Iterator[Judged]:
    """Every variant before one face, which has taken the messages whose MessageID is forged, and no other."""
    with pytest.MonkeyPatch.context() as patch:
        bank = Bank(patch, credential("core", BANK), credential("other", OTHER), CREDENTIAL)
        for version in SoapVersion:
            bank.post(unchanged("MessageID", version.name), version=version)
        taken = frozenset(bank.store.seen)
        assert len(taken) == len(SoapVersion)
        for data, variant in messages().items():
            assert len(data) < 4 * MAX_BYTES
            bank.services.asked.clear()
            bank.store.seen = set(taken)
            began = time.process_time()
            answer = bank.post(data, version=variant.soap)
            seconds = time.process_time() - began
            root = etree.fromstring(answer.body)
            opinions = libxmlsec(data, BANK), signxml(data, BANK)
            yield Judged(
                variant=variant,
                code=root.findtext(f".//{{{TNS}}}code") or "OK",
                faults=len(list(root.iter(f"{{{variant.soap.namespace}}}Fault"))),
                executed=len(bank.services.asked),
                seconds=seconds,
                libxmlsec=opinions[0],
                signxml=opinions[1],
                reason=refusal(data, variant.soap) if VALID in opinions else "",
            )


def honest_opinions() -> Iterator[tuple[str, str, str, str]]:
    """Target, version, and what both judges think of the messages that are executed."""
    for target in TARGETS:
        for version in SoapVersion:
            data = honest(target, version.name)
            yield target, version.name, libxmlsec(data, BANK), signxml(data, BANK)


def report(judged: list[Judged]) -> str:
    lines = [
        "# Wrapped messages, and what judges of signatures say",
        "",
        "Made by `python tests/opinions.py` and held by `tests/test_wrapping.py`. In each message a signed",
        "element moved away, or is gone, and a forged one stands where it is read (`tests/wrapping.py`). The",
        f"gateway executes none of these {len(judged)} messages. libxmlsec and signxml are given the pinned",
        "certificate and verify the first Signature.",
        "",
        "Of the Body, all places, ids and namespaces in every combination, before and after:",
        f"{len(list(body_product()))} variants. Over all axes every two values meet: {len(list(pairs()))}"
        f" variants. Messages that differ: {len(judged)}.",
        "",
        "| axis | values |",
        "|---|---:|",
        *(f"| {axis} | {len(values)} |" for axis, values in AXES.items()),
        "",
        "| target | messages | " + " | ".join(f"{who} {word}" for who in ("libxmlsec", "signxml") for word in
                                              (VALID, INVALID, ERROR)) + " |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for target in TARGETS:
        of = [each for each in judged if each.variant.target == target]
        counted = Counter(each.libxmlsec for each in of), Counter(each.signxml for each in of)
        numbers = [str(count[word]) for count in counted for word in (VALID, INVALID, ERROR)]
        lines.append(f"| {target} | {len(of)} | " + " | ".join(numbers) + " |")
    lines += ["", "| the gateway's answer | messages |", "|---|---:|"]
    lines += [f"| `{code}` | {count} |" for code, count in sorted(Counter(j.code for j in judged).items())]
    lines += ["", "## Where a judge says valid", ""]
    found: dict[str, dict[str, list[Judged]]] = defaultdict(lambda: defaultdict(list))
    for each in judged:
        for who, opinion in (("libxmlsec", each.libxmlsec), ("signxml", each.signxml)):
            if opinion == VALID:
                found[each.reason][who].append(each)
    for reason in sorted(found):
        lines.append(f"**{reason}.** {REASONS.get(reason, 'UNEXPLAINED')}")
        for who in sorted(found[reason]):
            of = found[reason][who]
            lines.append(f"- {who}: {len(of)}, as `{of[0].variant}`")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    REPORT.write_text(report(list(judge_all())), encoding="utf-8")
    print(f"Written: {REPORT}")
