"""Part 3: one signed message of each of many callers, judged; against python-xmlsec and a floor.

The law: all judge the same bytes, each caller with a key of its own, pinned before. The gateway's is all
that happens before a signed message is looked up as seen before: the gate's parse, the shape, the key by its
name, SignatureValue, each digest, validity and times. python-xmlsec parses, is told the ids and the right
key, and verifies; it compares no shape, no place and no time. The floor is one parse, exclusive C14N and
SHA-256 of what is signed, and one verification.
"""

from __future__ import annotations

import hashlib
import io
import sys
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import xmlsec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from rounds import Subject, compare
from signed import ECDSA_SHA256, NS, RSA_SHA256, WSU, Signer, sign, signer
from soap_support import MAX_BYTES, REQUESTS, SOAP11

from gateway.core.model import utc_now
from gateway.soap import guard
from gateway.soap.security import AnyAuthenticator, Authentication, CallerCredential, MessageRules

RULES = MessageRules(window=timedelta(minutes=5), skew=timedelta(seconds=60))
ALGORITHMS = {"rsa": RSA_SHA256, "p256": ECDSA_SHA256}
NAMES = {"rsa": "RSA-2048", "p256": "ECDSA P-256"}


@dataclass
class Signatures:
    """A message of each of many callers."""

    kind: str
    callers: int
    at: datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        print(f"# making {self.callers} keys ({NAMES[self.kind]}) ...", file=sys.stderr, flush=True)
        signers = [signer(f"bench-{number}", self.kind) for number in range(self.callers)]
        self.messages = [
            etree.tostring(sign(REQUESTS["GetTransaction"], by, at=self.at, algorithm=ALGORITHMS[self.kind]))
            for by in signers
        ]
        self.keys = [by.certificate.public_key() for by in signers]
        self.xmlsec_keys = [
            xmlsec.Key.from_memory(by.certificate.public_bytes(Encoding.PEM), xmlsec.KeyFormat.CERT_PEM)
            for by in signers
        ]
        self.authenticator = AnyAuthenticator(
            [credential(by, n) for n, by in enumerate(signers)], rules=RULES
        )

    def gateway(self, number: int) -> None:
        data = self.messages[number]
        environ: dict[str, Any] = {
            "CONTENT_TYPE": SOAP11.content_type,
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
        }
        posted = guard.receive(environ, max_bytes=MAX_BYTES)
        message = guard.parse(posted, understood=self.authenticator.understood)
        if self.authenticator.authenticate(message, at=self.at).caller.id != f"bench-{number}":
            raise AssertionError("another caller")

    def python_xmlsec(self, number: int) -> None:
        root = etree.fromstring(self.messages[number])
        context = xmlsec.SignatureContext()
        for element in root.iter(f"{{{WSU}}}Timestamp", SOAP11.tag("Body")):
            context.register_id(element, "Id", WSU)
        context.key = self.xmlsec_keys[number]
        context.verify(root.find(".//ds:Signature", NS))

    def floor(self, number: int) -> None:
        root = etree.fromstring(self.messages[number])
        info = root.find(".//ds:SignedInfo", NS)
        assert info is not None
        value = b64decode(str(root.findtext(".//ds:SignatureValue", namespaces=NS)))
        signed = etree.tostring(info, method="c14n", exclusive=True)
        key = self.keys[number]
        if isinstance(key, ec.EllipticCurvePublicKey):
            der = encode_dss_signature(int.from_bytes(value[:32]), int.from_bytes(value[32:]))
            key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr,call-arg]
        stated = [b64decode(str(e.text)) for e in info.iterfind("ds:Reference/ds:DigestValue", NS)]
        nodes = [next(root.iter(f"{{{WSU}}}Timestamp")), next(root.iter(SOAP11.tag("Body")))]
        if stated != [
            hashlib.sha256(etree.tostring(n, method="c14n", exclusive=True)).digest() for n in nodes
        ]:
            raise AssertionError("another digest")


def credential(by: Signer, number: int) -> CallerCredential:
    return CallerCredential(
        f"bench-{number}",
        "bank",
        frozenset(),
        authentication=Authentication.X509,
        certificates=(by.certificate,),
    )


def measure(*, callers: int, rounds: int) -> list[str]:
    tables = []
    for kind in ALGORITHMS:
        corpus = Signatures(kind, callers)
        each = callers // rounds

        def over(judge: Any, each: int = each) -> Any:
            def run(number: int) -> None:
                for at in range(number * each, (number + 1) * each):
                    judge(at % callers)

            return run

        tables.append(
            compare(
                f"signed message, {NAMES[kind]}, {callers:,} keys",
                Subject("gateway: parse and authenticate", over(corpus.gateway), each),
                Subject("floor: parse, C14N, SHA-256, 1 signature", over(corpus.floor), each),
                Subject("python-xmlsec", over(corpus.python_xmlsec), each),
                rounds=rounds,
            )
        )
    return tables
