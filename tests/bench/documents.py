"""Part 1: sealing and verifying evidence, against bare libraries and against stock signxml.

The law: all three work on the same documents, one of each of many devices with keys and certificates of
their own. The floor is what nobody can leave out: one parse, exclusive C14N and SHA-256 of what is signed,
and every signature once: seal and device, three certificates, two CRLs. It composes nothing, compares no
field and knows no time, role or profile. signxml verifies both signatures and their paths, and no CRL. What
is prepared for one (anchors, keys) is prepared for all.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from rounds import Subject, compare
from signxml import DigestAlgorithm, SignatureConfiguration
from signxml.xades import XAdESDataObjectFormat, XAdESSignaturePolicy, XAdESSigner, XAdESVerifier
from sim import MemoryCrls, World

from gateway.core import xades
from gateway.core.canonical import b64
from gateway.core.certpath import TrustStore
from gateway.core.conclusion import Indication
from gateway.core.evidence import EVIDENCE_NAMESPACE, Evidence, compose_unsealed
from gateway.core.keys import sign_p256
from gateway.core.model import utc_now, uuid7, whole_seconds
from gateway.core.statement import NAMESPACE, ShownText
from gateway.core.verifier import verify_evidence
from gateway.sandbox import Pki, make_pki
from gateway.services.evidence import seal

TEXT = "I borrow € 348.500,00 at 3.15 % a year, and agree to the terms that are shown here & below.\n" * 43
"""4 KB of UTF-8."""
ECDSA = ec.ECDSA(hashes.SHA256())
NS = {"ev": EVIDENCE_NAMESPACE, "st": NAMESPACE, "ds": xades.DS, "xades": xades.XADES}
PROPERTIES = "ds:Object/xades:QualifyingProperties/xades:SignedProperties"


@dataclass
class Corpus:
    """One document of each of many devices of one gateway."""

    devices: int
    at: datetime = field(default_factory=lambda: whole_seconds(utc_now()))

    def __post_init__(self) -> None:
        self.pki: Pki = make_pki(at=self.at - timedelta(days=30))
        crls = MemoryCrls()
        self.worlds = [
            World(at=self.at, pki=self.pki, crls=crls, binding_id=uuid7(self.at)) for _ in range(self.devices)
        ]
        self.seal_key = self.worlds[0].seal_key
        self.trust: TrustStore = self.worlds[0].trust
        self.models: list[Evidence] = [
            world.model(content=world.content(texts=(ShownText("Mortgage", TEXT, "text/plain"),)))
            for world in self.worlds
        ]
        self.unsealed = [compose_unsealed(model) for model in self.models]
        self.sealed = [seal(document, key=self.seal_key, at=self.at) for document in self.unsealed]

    def seal(self, number: int) -> bytes:
        return seal(compose_unsealed(self.models[number]), key=self.seal_key, at=self.at)

    def verify(self, document: bytes) -> None:
        if verify_evidence(document, trust=self.trust, at=self.at).indication is not Indication.TOTAL_PASSED:
            raise ValueError("refused")


class Floor:
    """lxml's exclusive C14N, hashlib and cryptography, and nothing else."""

    def __init__(self, corpus: Corpus) -> None:
        self._anchor = corpus.pki.root.certificate.public_key()
        self._root_crl = corpus.trust.crls[0]
        self._key = corpus.pki.seal.key
        self._seal = etree.fromstring(corpus.sealed[0]).find("ds:Signature", NS)

    def seal(self, unsealed: bytes) -> bytes:
        root, signature = etree.fromstring(unsealed), self._seal
        digests = (_digest(root), *(_digest(_at(signature, path)) for path in ("ds:KeyInfo", PROPERTIES)))
        for value, digest in zip(
            signature.iterfind(".//ds:Reference/ds:DigestValue", NS), digests, strict=True
        ):
            value.text = b64encode(digest).decode()
        info = _canonical(_at(signature, "ds:SignedInfo"))
        _at(signature, "ds:SignatureValue").text = b64encode(sign_p256(self._key, info)).decode()
        root.append(signature)
        return etree.tostring(root)

    def verify(self, document: bytes) -> None:
        root = etree.fromstring(document)
        device, outer = _at(root, "ev:DeviceSignature/ds:Signature"), _at(root, "ds:Signature")
        mine, ca = _certificates(device)
        (sealer,) = _certificates(outer)
        _check(device, mine, _at(root, "st:Statement"), _at(device, PROPERTIES))
        crl = x509.load_der_x509_crl(b64decode(_at(root, "ev:DeviceSignature/ev:CRL").text))
        root.remove(outer)
        _check(outer, sealer, root, _at(outer, "ds:KeyInfo"), _at(outer, PROPERTIES))
        ca_key = ca.public_key()
        for certificate, issuer in ((mine, ca_key), (ca, self._anchor), (sealer, self._anchor)):
            issuer.verify(certificate.signature, certificate.tbs_certificate_bytes, ECDSA)
        if not (crl.is_signature_valid(ca_key) and self._root_crl.is_signature_valid(self._anchor)):
            raise ValueError("a CRL is not by its issuer")


def _at(element: Any, path: str) -> Any:
    return element.find(path, NS)


def _canonical(element: Any) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True)


def _digest(element: Any) -> bytes:
    return hashlib.sha256(_canonical(element)).digest()


def _certificates(signature: Any) -> list[x509.Certificate]:
    found = signature.iterfind("ds:KeyInfo/ds:X509Data/ds:X509Certificate", NS)
    return [x509.load_der_x509_certificate(b64decode(element.text)) for element in found]


def _check(signature: Any, certificate: x509.Certificate, *signed: Any) -> None:
    info = _at(signature, "ds:SignedInfo")
    stated = [b64decode(value.text) for value in info.iterfind("ds:Reference/ds:DigestValue", NS)]
    if stated != [_digest(element) for element in signed]:
        raise ValueError("a digest differs")
    value = b64decode(_at(signature, "ds:SignatureValue").text)
    r, s = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big")
    certificate.public_key().verify(encode_dss_signature(r, s), _canonical(info), ECDSA)  # type: ignore[union-attr, call-arg, arg-type]


class Signxml:
    """signxml as it comes, and its default C14N: what it seals under the exclusive one it refuses itself."""

    def __init__(self, corpus: Corpus, anchor: Path) -> None:
        anchor.write_bytes(corpus.pki.root.certificate.public_bytes(Encoding.PEM))
        self._anchor, self._pki = str(anchor), corpus.pki
        holder = f"./{{{EVIDENCE_NAMESPACE}}}DeviceSignature/"
        self._expected = [
            SignatureConfiguration(location=holder, expect_references=2),
            SignatureConfiguration(location="./", expect_references=3),
        ]
        self._policy = XAdESSignaturePolicy(
            xades.POLICY_ID, "seal", DigestAlgorithm.SHA256, b64(xades.POLICY_DIGEST)
        )

    def seal(self, unsealed: bytes) -> bytes:
        signer = XAdESSigner(
            signature_policy=self._policy,
            data_object_format=XAdESDataObjectFormat("evidence", "text/xml"),
            signature_algorithm="ecdsa-sha256",
            digest_algorithm="sha256",
        )
        root = etree.fromstring(unsealed)
        signed = signer.sign(root, key=self._pki.seal.key, cert=[self._pki.seal.certificate])
        return etree.tostring(signed)

    def verify(self, document: bytes) -> None:
        for expected in self._expected:
            XAdESVerifier().verify(document, ca_pem_file=self._anchor, expect_config=expected)


def check(corpus: Corpus, floor: Floor, stock: Signxml) -> None:
    """That each of the three does what it is measured at: good is accepted, changed is refused."""
    good = corpus.sealed[0]
    for verifier in (corpus, floor, stock):
        verifier.verify(good)
        try:
            verifier.verify(good.replace(b"348.500", b"348.501"))
        except Exception:  # each has types of its own
            continue
        raise AssertionError(f"{type(verifier).__name__} accepts a changed document")
    corpus.verify(corpus.seal(0))
    corpus.verify(floor.seal(corpus.unsealed[0]))
    stock.verify(stock.seal(corpus.unsealed[0]))


def measure(corpus: Corpus, *, folder: Path, rounds: int) -> list[str]:
    """Two tables; over all rounds each document is used once, those of the warm-up twice."""
    floor, stock = Floor(corpus), Signxml(corpus, folder / "anchor.pem")
    check(corpus, floor, stock)
    size = corpus.devices // rounds

    def batch(number: int) -> range:
        return range(number * size, (number + 1) * size)

    def over(action: Any, documents: list[bytes] | None = None) -> Any:
        def run(number: int) -> None:
            for i in batch(number):
                action(i if documents is None else documents[i])

        return run

    return [
        compare(
            f"seal, a document of {len(corpus.sealed[0]):,} bytes",
            Subject("gateway: compose and seal", over(corpus.seal), size),
            Subject("floor: C14N, SHA-256, 1 signature", over(floor.seal, corpus.unsealed), size),
            Subject("signxml XAdESSigner", over(stock.seal, corpus.unsealed), size),
            rounds=rounds,
        ),
        compare(
            f"verify, {corpus.devices:,} devices",
            Subject("gateway: the whole judgement", over(corpus.verify, corpus.sealed), size),
            Subject("floor: C14N, SHA-256, 7 signatures", over(floor.verify, corpus.sealed), size),
            Subject("signxml XAdESVerifier, both signatures", over(stock.verify, corpus.sealed), size),
            rounds=rounds,
        ),
    ]
