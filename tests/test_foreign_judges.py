"""Evidence before judges that are not ours: libxmlsec, signxml, the xmlsec1 command and the JDK.

The law: each judge tells of the device's signature and of the seal on its own; a change in a part that one
of them signs is refused by every judge. python-xmlsec and signxml judge in every run; a program that is
not installed is reported as not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import SignatureConfiguration
from signxml.exceptions import SignXMLException
from signxml.processor import get_schema
from signxml.xades import XAdESVerifier
from sim import World

from gateway.core import xades
from gateway.core.canonical import b64
from gateway.core.certpath import der
from gateway.core.commands import xmlsec1_commands
from gateway.core.conclusion import Indication
from gateway.core.evidence import EVIDENCE_NAMESPACE
from gateway.core.statement import NAMESPACE, Payee, Payment
from gateway.core.verifier import verify_evidence

WORLD = World()
AT = WORLD.at + timedelta(minutes=30)
DOCUMENT = WORLD.evidence()
JAVA_PROGRAM = Path(__file__).parent / "foreign" / "VerifyEvidence.java"
NS = {"ev": EVIDENCE_NAMESPACE, "st": NAMESPACE, "ds": xades.DS, "xades": xades.XADES}
DEVICE, SEAL = "ev:DeviceSignature/ds:Signature", "ds:Signature"
Verdict = tuple[bool, bool]
"""Whether the device's signature, and the seal, were accepted."""


def change(path: str, edit: Callable[[str], str]) -> bytes:
    root = etree.fromstring(DOCUMENT)
    element = root.find(path, NS)
    assert edit(element.text) != element.text
    element.text = edit(element.text)
    return etree.tostring(root)


def key_info_grown() -> bytes:
    root = etree.fromstring(DOCUMENT)
    data = root.find(f"{SEAL}/ds:KeyInfo/ds:X509Data", NS)
    etree.SubElement(data, f"{{{xades.DS}}}X509Certificate").text = b64(der(WORLD.pki.root.certificate))
    return etree.tostring(root)


def earlier(time: str) -> str:
    return time.replace("09:", "08:")


PROPERTIES = "ds:Object/xades:QualifyingProperties/xades:SignedProperties/xades:SignedSignatureProperties"
CASES: dict[str, tuple[bytes, Verdict]] = {
    "good": (DOCUMENT, (True, True)),
    "good-payment": (
        WORLD.evidence(
            content=WORLD.content(
                texts=(), payment=Payment("1.50", "EUR", (Payee("Zoë & Co <AG>", "CH93", "1.50"),))
            )
        ),
        (True, True),
    ),
    "statement": (
        change("st:Statement/st:Shown/st:Text/st:Content", lambda t: t.replace("348", "349")),
        (False, False),
    ),
    "device-properties": (change(f"{DEVICE}/{PROPERTIES}/xades:SigningTime", earlier), (False, False)),
    "device-value": (
        change(f"{DEVICE}/ds:SignatureValue", lambda v: v[:8] + v[9] + v[8] + v[10:]),
        (False, False),
    ),
    "evidence-field": (change("ev:Subject/ev:ExternalRef", lambda t: t + "1"), (True, False)),
    "evidence-crl": (change("ev:DeviceSignature/ev:CRL", lambda t: "AAAA" + t), (True, False)),
    "seal-key-info": (key_info_grown(), (True, False)),
    "seal-properties": (change(f"{SEAL}/{PROPERTIES}/xades:SigningTime", earlier), (True, False)),
}
each_case = pytest.mark.parametrize("case", CASES)


def certificates() -> tuple[x509.Certificate, x509.Certificate]:
    return x509.load_der_x509_certificate(WORLD.device_certificate), WORLD.pki.seal.certificate


def installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"not run: {program} is not installed")
    return found


@each_case
def test_ours(case: str) -> None:
    data, verdict = CASES[case]
    conclusion = verify_evidence(data, trust=WORLD.trust, at=AT)
    assert (conclusion.indication is Indication.TOTAL_PASSED) is all(verdict)


@each_case
def test_python_xmlsec(case: str) -> None:
    data, verdict = CASES[case]

    def accepts(path: str, certificate: x509.Certificate) -> bool:
        root = etree.fromstring(data)
        signature = root.find(path, NS)
        signed = f"{path}/ds:Object/xades:QualifyingProperties/xades:SignedProperties"
        for element in (
            root.find(signed, NS),
            root.find("st:Statement", NS),
            signature.find("ds:KeyInfo", NS),
        ):
            if element.get("Id"):
                xmlsec.tree.add_ids(element, ["Id"])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(
            certificate.public_bytes(Encoding.PEM), xmlsec.constants.KeyDataFormatCertPem
        )
        try:
            context.verify(signature)
        except xmlsec.Error:
            return False
        return True

    device, seal = certificates()
    assert (accepts(DEVICE, device), accepts(SEAL, seal)) == verdict


@each_case
def test_signxml(case: str) -> None:
    data, verdict = CASES[case]

    def accepts(location: str, certificate: x509.Certificate, references: int) -> bool:
        expected = SignatureConfiguration(location=location, expect_references=references)
        try:
            XAdESVerifier().verify(data, x509_cert=certificate, expect_config=expected)
        except SignXMLException:
            return False
        return True

    device, seal = certificates()
    holder = f"./{{{EVIDENCE_NAMESPACE}}}DeviceSignature/"
    assert (accepts(holder, device, 2), accepts("./", seal, 3)) == verdict


@each_case
def test_xmlsec1(case: str, tmp_path: Path) -> None:
    installed("xmlsec1")
    data, verdict = CASES[case]
    evidence, trust = tmp_path / "evidence.xml", tmp_path / "trust.pem"
    evidence.write_bytes(data)
    trust.write_bytes(WORLD.pki.trust_pem())
    results = {}
    for name, command in xmlsec1_commands(str(evidence), str(trust)):
        at = ["--verification-time", AT.strftime("%Y-%m-%d %H:%M:%S")]
        run = subprocess.run(
            [*command[:-1], *at, command[-1]],
            env={**os.environ, "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
        results[name] = run.returncode == 0 and "OK" in run.stdout + run.stderr
    assert (results["device signature"], results["seal"]) == verdict


def test_xmlsec1_refuses_a_stranger(tmp_path: Path) -> None:
    installed("xmlsec1")
    evidence, trust = tmp_path / "evidence.xml", tmp_path / "trust.pem"
    evidence.write_bytes(DOCUMENT)
    trust.write_bytes(World().pki.trust_pem())
    for _, command in xmlsec1_commands(str(evidence), str(trust)):
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def java(tmp_path: Path, documents: dict[str, bytes], world: World) -> dict[str, Verdict]:
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(world.pki.root.certificate.public_bytes(Encoding.PEM))
    for name, data in documents.items():
        (tmp_path / f"{name}.xml").write_bytes(data)
    names = [str(tmp_path / f"{name}.xml") for name in documents]
    run = subprocess.run(
        [installed("java"), str(JAVA_PROGRAM), str(anchor), str(int(AT.timestamp())), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in run.stdout.splitlines()]
    verdicts = {name.removesuffix(".xml"): (d == "ok", s == "ok") for name, _, d, _, s in lines}
    assert verdicts.keys() == documents.keys(), run.stderr
    return verdicts


def test_jdk(tmp_path: Path) -> None:
    verdicts = java(tmp_path, {name: data for name, (data, _) in CASES.items()}, WORLD)
    assert verdicts == {name: verdict for name, (_, verdict) in CASES.items()}


def test_jdk_refuses_a_stranger(tmp_path: Path) -> None:
    assert java(tmp_path, {"good": DOCUMENT}, World()) == {"good": (False, False)}


@pytest.mark.parametrize("schema", ["XAdES01903v132-201601.xsd", "XAdES01903v141-201601.xsd"])
@pytest.mark.parametrize("path", [DEVICE, SEAL])
def test_etsi_schemas(path: str, schema: str) -> None:
    """Both signatures follow XML-DSig and ETSI's XAdES 1.3.2 and 1.4.1 schemas."""
    signature = etree.fromstring(etree.tostring(etree.fromstring(DOCUMENT).find(path, NS)))
    get_schema("xmldsig1-schema.xsd").assertValid(signature)
    etsi = get_schema(schema)
    properties = signature.find("ds:Object/xades:QualifyingProperties", NS)
    etsi.assertValid(etree.fromstring(etree.tostring(properties)))
    time = properties.find(".//xades:SigningTime", NS)
    time.text = "yesterday"
    assert not etsi.validate(etree.fromstring(etree.tostring(properties)))
