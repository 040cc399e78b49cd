"""Signatures by Project Wycheproof (C2SP/wycheproof, testvectors_v1) through the functions that verify ours.

The project does not carry the vectors. They are looked for in the directory that ``WYCHEPROOF`` names, in
``tests/vectors/wycheproof``, and in ``shared/vectors/wycheproof`` beside the checkout; where they are not,
these tests say that they did not run. What
Wycheproof calls "acceptable" is legacy that a verifier may refuse: ours refuses it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.core import keys, xades, xmldsig
from gateway.core.keys import SignatureInvalid

TESTS = Path(__file__).parent
PLACES = [Path(named)] if (named := os.environ.get("WYCHEPROOF")) else []
PLACES += [TESTS / "vectors" / "wycheproof", TESTS.parents[1] / "shared" / "vectors" / "wycheproof"]
PLACE = next((place for place in PLACES if place.is_dir()), PLACES[0])
P1363 = "ecdsa_secp256r1_sha256_p1363_test.json"
DER = "ecdsa_secp256r1_sha256_test.json"
RSA = ("rsa_signature_2048_sha256_test.json", "rsa_signature_3072_sha256_test.json")
Verify = Callable[[bytes, bytes, bytes], None]
"""Of a public key (DER), a signature and a message; raises SignatureInvalid."""


def of_messages(algorithm: str) -> Verify:
    def verify(key: bytes, value: bytes, data: bytes) -> None:
        xmldsig.verify_bytes(load_der_public_key(key), algorithm=algorithm, value=value, data=data)

    return verify


def of_assertions(key: bytes, value: bytes, data: bytes) -> None:
    keys.verify_p256(keys.parse_p256(key), value, data=data)


def as_two_halves(verify: Verify) -> Verify:
    """Of what is written in DER; what has no two halves of 32 bytes cannot be said to us at all."""

    def converted(key: bytes, value: bytes, data: bytes) -> None:
        try:
            halves = b"".join(half.to_bytes(32, "big") for half in decode_dss_signature(value))
        except (ValueError, OverflowError) as error:
            raise SignatureInvalid("no DER of two numbers below 2**256") from error
        verify(key, halves, data)

    return converted


CASES: dict[str, tuple[str, Verify]] = {
    "messages-p1363": (P1363, of_messages(xades.ECDSA_SHA256)),
    "messages-der": (DER, as_two_halves(of_messages(xades.ECDSA_SHA256))),
    "messages-rsa-2048": (RSA[0], of_messages(xades.RSA_SHA256)),
    "messages-rsa-3072": (RSA[1], of_messages(xades.RSA_SHA256)),
    "assertions-p1363": (P1363, of_assertions),
    "assertions-der": (DER, as_two_halves(of_assertions)),
}


@pytest.mark.parametrize("name", CASES)
def test_wycheproof(name: str, record_property: Callable[[str, object], None]) -> None:
    file, verify = CASES[name]
    if not (PLACE / file).is_file():
        pytest.skip(f"not run: {PLACE / file} is not there (WYCHEPROOF names its directory)")
    vectors: dict[str, Any] = json.loads((PLACE / file).read_text(encoding="utf-8"))
    ran: Counter[str] = Counter()
    wrong = []
    for group in vectors["testGroups"]:
        key = bytes.fromhex(group["publicKeyDer"])
        for test in group["tests"]:
            try:
                verify(key, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
                accepted = True
            except SignatureInvalid:
                accepted = False
            ran[test["result"]] += 1
            if accepted != (test["result"] == "valid"):
                wrong.append((test["tcId"], test["result"], test["comment"]))
    assert not wrong
    assert ran.total() == vectors["numberOfTests"]
    assert min(ran["valid"], ran["invalid"]) > 0
    record_property("vectors", dict(ran))
    print(f"{name}: {ran.total()} vectors ran: {dict(ran)}")
