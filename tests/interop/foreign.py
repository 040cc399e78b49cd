"""Puts fresh evidence, and evidence that was tampered with, before every judge, and prints what each said.

The law: a judge that could not be asked is "not run", which is never "passed" and ends the run with an
error, unless the caller left it out by name (``--without``). A tampered document must be refused for the
signature that it harms and for no other, by every judge whose work it is: digests are everybody's, paths,
revocation, the seal's policy and the roles are not. What each verdict means is told in
``docs/foreign-judges.md``.

    python tests/interop/foreign.py [--without TOOL]... [--evidence FILE --trust FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import xmlsec  # noqa: E402
from cryptography import x509  # noqa: E402
from lxml import etree  # noqa: E402
from signxml import SignatureConfiguration  # noqa: E402
from signxml.exceptions import SignXMLException  # noqa: E402
from signxml.xades import XAdESVerifier  # noqa: E402
from sim import MemorySealKey, World  # noqa: E402

from gateway.core import xades  # noqa: E402
from gateway.core.certpath import parse_trust  # noqa: E402
from gateway.core.commands import xmlsec1_commands  # noqa: E402
from gateway.core.conclusion import Indication  # noqa: E402
from gateway.core.evidence import EVIDENCE_NAMESPACE, Evidence, attach_seal, compose_unsealed, parse  # noqa: E402
from gateway.core.statement import NAMESPACE  # noqa: E402
from gateway.core.verifier import verify_evidence  # noqa: E402
from gateway.core.xmldsig import parse_document  # noqa: E402
from gateway.sandbox import Issuer, make_pki  # noqa: E402
from gateway.services.evidence import seal  # noqa: E402

DEVICE, SEAL, BOTH = xades.DEVICE.signature_id, xades.SEAL.signature_id, "both"
NS = {"ev": EVIDENCE_NAMESPACE, "st": NAMESPACE, "ds": xades.DS, "xades": xades.XADES}
PLACES = {DEVICE: "ev:DeviceSignature/ds:Signature", SEAL: "ds:Signature"}
JDK_PROGRAM = TESTS / "foreign" / "VerifyEvidence.java"
DSS_PROJECT = TESTS / "interop" / "dss"


class NotRun(Exception):
    """The judge could not be asked; the reason."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge said of one signature, or of the document as a whole."""

    signature: str
    level: str
    passed: bool
    verdict: str
    """In the judge's own words."""
    sub_indication: str = "-"
    """The sub-indication; of judges that have none, the reason."""


@dataclass(frozen=True, slots=True)
class Judge:
    name: str
    ask: Callable[[Path, Path], list[Said]]
    """(evidence, trust) -> what it said; raises NotRun."""
    sees: frozenset[str]
    """What it judges: digests, path, revocation, policy, role."""


@dataclass(frozen=True, slots=True)
class Tampered:
    name: str
    data: bytes
    trust: bytes
    needs: str
    """What a judge must judge in order to find it."""
    harmed: frozenset[str]
    """The signatures that must be refused; the other must pass."""


def ours(evidence: Path, trust: Path) -> list[Said]:
    anchors = parse_trust(trust.read_bytes())
    conclusion = verify_evidence(evidence.read_bytes(), trust=anchors, at=datetime.now(UTC))
    passed = conclusion.indication is Indication.TOTAL_PASSED
    failed = next((f" (step {c.step}, {c.name})" for c in conclusion.checks if not c.passed), "")
    return [Said(BOTH, "B-B", passed, conclusion.indication, f"{conclusion.sub_indication or '-'}{failed}")]


def xmlsec1(evidence: Path, trust: Path) -> list[Said]:
    program("xmlsec1")
    said = []
    for (_, command), name in zip(xmlsec1_commands(str(evidence), str(trust)), PLACES, strict=True):
        ran = run(command)
        lines = (ran.stdout + ran.stderr).splitlines()
        reason = next((line.strip() for line in lines if "References (ok/all)" in line), "-")
        passed = ran.returncode == 0 and any(line.endswith("OK") for line in lines)
        said.append(dsig(name, passed, "-" if passed else reason))
    return said


def python_xmlsec(evidence: Path, trust: Path) -> list[Said]:
    said = []
    for name, place in PLACES.items():
        root = etree.parse(evidence, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
        signature = root.find(place, NS)
        keys = xmlsec.KeysManager()
        keys.load_cert(str(trust), xmlsec.constants.KeyDataFormatPem, xmlsec.constants.KeyDataTypeTrusted)
        context = xmlsec.SignatureContext(keys)
        for path in ("st:Statement", f"{place}/ds:KeyInfo", f"{place}//xades:SignedProperties"):
            element = root.find(path, NS)
            if element.get("Id"):
                context.register_id(element, "Id")
        try:
            context.verify(signature)
        except xmlsec.Error as error:
            said.append(dsig(name, False, str(error)))
        else:
            said.append(dsig(name, True))
    return said


def signxml(evidence: Path, trust: Path) -> list[Said]:
    said = []
    for name, holder, references in ((DEVICE, f"{{{EVIDENCE_NAMESPACE}}}DeviceSignature/", 2), (SEAL, "", 3)):
        expected = SignatureConfiguration(location=f"./{holder}", expect_references=references)
        try:
            XAdESVerifier().verify(evidence.read_bytes(), ca_pem_file=str(trust), expect_config=expected)
        except SignXMLException as error:
            said.append(Said(name, "XAdES", False, "refused", f"{type(error).__name__}: {error}"))
        else:
            said.append(Said(name, "XAdES", True, "accepted"))
    return said


def jdk(evidence: Path, trust: Path) -> list[Said]:
    if not JDK_PROGRAM.exists():
        raise NotRun(f"{JDK_PROGRAM.name} is missing")
    now = str(int(datetime.now(UTC).timestamp()))
    ran = run([program("java"), str(JDK_PROGRAM), str(trust), now, str(evidence)])
    words = ran.stdout.split()
    if words[:1] != [evidence.name] or words[1::2] != ["device", "seal"]:
        raise NotRun(ran.stderr.strip()[-200:])
    return [dsig(name, word == "ok") for name, word in zip((DEVICE, SEAL), words[2::2], strict=True)]


def dss(evidence: Path, trust: Path) -> list[Said]:
    build_dss()
    classes = f"{DSS_PROJECT}/target/classes:{DSS_PROJECT}/target/lib/*"
    ran = run([program("java"), "-cp", classes, "DssJudge", str(evidence), str(trust), "--json"])
    if ran.returncode not in (0, 1) or not ran.stdout.startswith("["):
        raise NotRun(ran.stderr.strip()[-200:])
    said = []
    for one in json.loads(ran.stdout):
        demanded = "; ".join(f"demanded: {what}" for what in one["missing"])
        level, accepted, indication = one["level"], one["accepted"], one["indication"]
        reason = demanded if indication == "TOTAL_PASSED" and demanded else one["subIndication"]
        said.append(Said(one["id"], level, accepted, indication, reason))
    both = sorted(one.signature for one in said) == [DEVICE, SEAL]
    if (ran.returncode == 0) is not (both and all(one.passed for one in said)):
        raise NotRun("its exit code contradicts what it printed")
    return said


@cache
def build_dss() -> None:
    """Compiles the judge: from the local repository, or with the network where that is not enough."""
    command = [program("mvn"), "-q", "-B", "-f", str(DSS_PROJECT), "compile"]
    if run([*command, "-o"]).returncode != 0:
        ran = run(command)
        if ran.returncode != 0:
            raise NotRun("Maven could not build it: " + ran.stdout.strip()[:200])


ALL = frozenset({"digests", "path", "revocation", "policy", "role"})
DSIG = frozenset({"digests", "path"})
JUDGES = (
    Judge("mobileid-gateway", ours, ALL),
    Judge("xmlsec1", xmlsec1, DSIG),
    Judge("python-xmlsec", python_xmlsec, DSIG),
    Judge("signxml", signxml, DSIG),
    Judge("jdk", jdk, DSIG),
    Judge("eu-dss", dss, ALL - {"role"}),
)


def dsig(signature: str, passed: bool, reason: str = "-") -> Said:
    return Said(signature, "XML-DSig", passed, "valid" if passed else "invalid", reason)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotRun(f"{name} is not installed")
    return found


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def world() -> World:
    """A world whose evidence was made a minute ago."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    return World(at=at, pki=make_pki(at=at - timedelta(days=30)))


def tampered(genuine: World, good: bytes) -> list[Tampered]:
    """One harm each; "resealed" is sealed with the genuine key after the harm was done."""
    trust, revoked = genuine.pki.trust_pem(), replace(genuine, crls=type(genuine.crls)())
    revoked.revoke(at=revoked.at - timedelta(days=1))

    def other_text(evidence: Evidence) -> Evidence:
        (text,) = evidence.content.texts
        changed = replace(text, text=text.text.replace("348.500", "384.500"))
        return replace(evidence, content=replace(evidence.content, texts=(changed,)))

    device, sealed, both = frozenset({DEVICE}), frozenset({SEAL}), frozenset({DEVICE, SEAL})
    certificate = x509.load_der_x509_certificate(genuine.device_certificate)
    thief = MemorySealKey(Issuer(certificate, genuine.device_key), genuine.pki.device_ca)
    by_device = seal(compose_unsealed(genuine.model()), key=thief, at=genuine.at)
    return [
        Tampered("text-changed", good.replace(b"348.500", b"384.500"), trust, "digests", both),
        Tampered("text-changed-resealed", genuine.evidence(other_text), trust, "digests", device),
        Tampered(
            "customer-changed", good.replace(b"customer-4711", b"customer-4712"), trust, "digests", sealed
        ),
        Tampered("stranger-anchor", good, world().pki.trust_pem(), "path", both),
        Tampered("device-revoked-before-signing", revoked.evidence(), trust, "revocation", device),
        Tampered("policy-hash-changed-resealed", _other_policy(genuine, good), trust, "policy", sealed),
        Tampered("seal-by-device-key", by_device, trust, "role", sealed),
    ]


def _other_policy(genuine: World, good: bytes) -> bytes:
    read = parse(parse_document(good))
    renamed = replace(read.seal, policy=(xades.POLICY_ID, xades.sha256(b"another policy")))
    bound = replace(renamed, properties_digest=xades.sha256(renamed.properties()))
    resealed = replace(bound, value=genuine.seal_key.sign(bound.info()))
    return attach_seal(read.unsealed(), seal=resealed.xml())


def table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description="What judges that are not ours say of our evidence.")
    names = [judge.name for judge in JUDGES]
    parser.add_argument("--without", action="append", default=[], choices=names, help="do not ask this one")
    parser.add_argument("--evidence", type=Path, help="judge this document instead of a fresh one")
    parser.add_argument("--trust", type=Path, help="its anchors and CRLs")
    arguments = parser.parse_args()
    if (arguments.evidence is None) is not (arguments.trust is None):
        parser.error("--evidence and --trust go together")
    with tempfile.TemporaryDirectory() as folder:
        return ask_all(Path(folder), arguments.without, arguments.evidence, arguments.trust)


def ask_all(folder: Path, without: Sequence[str], evidence: Path | None, trust: Path | None) -> int:
    wrong: list[str] = []
    good_rows = [("tool", "signature", "level", "verdict", "sub-indication")]
    bad_rows = [("document", "tool", "signature", "verdict", "sub-indication", "must")]
    genuine = world()
    good = genuine.evidence()
    cases = tampered(genuine, good) if evidence is None else []
    if evidence is None or trust is None:
        evidence, trust = _write(folder, "good", good, genuine.pki.trust_pem())
    for judge in JUDGES:
        if judge.name in without:
            good_rows.append((judge.name, "-", "-", "not run", "left out by the caller"))
            continue
        try:
            said = judge.ask(evidence, trust)
            good_rows += [(judge.name, s.signature, s.level, s.verdict, s.sub_indication) for s in said]
            if sorted(s.signature for s in said) not in ([BOTH], [DEVICE, SEAL]):
                wrong.append(f"{judge.name} did not judge the two signatures")
            wrong += [f"{judge.name} refuses {s.signature}" for s in said if not s.passed]
            for case in cases:
                bad_rows += tried(judge, case, folder, wrong)
        except NotRun as reason:
            good_rows.append((judge.name, "-", "-", "not run", str(reason)))
            wrong.append(f"{judge.name} was not run: {reason}")
    table(good_rows)
    if cases:
        print()
        table([bad_rows[0], *sorted(bad_rows[1:], key=lambda row: [c.name for c in cases].index(row[0]))])
    print("\n" + ("\n".join(wrong) if wrong else "As it must be."))
    return 1 if wrong else 0


def tried(judge: Judge, case: Tampered, folder: Path, wrong: list[str]) -> list[tuple[str, ...]]:
    rows = []
    for s in judge.ask(*_write(folder, case.name, case.data, case.trust)):
        harmed = s.signature == BOTH or s.signature in case.harmed
        must = "not its work" if case.needs not in judge.sees else "refuse" if harmed else "pass"
        if must == ("refuse" if s.passed else "pass"):
            wrong.append(f"{judge.name} must {must} {s.signature} of {case.name}")
        rows.append((case.name, judge.name, s.signature, s.verdict, s.sub_indication[:90], must))
    return rows


def _write(folder: Path, name: str, data: bytes, trust: bytes) -> tuple[Path, Path]:
    evidence, anchors = folder / f"{name}.xml", folder / f"{name}.trust.pem"
    evidence.write_bytes(data)
    anchors.write_bytes(trust)
    return evidence, anchors


if __name__ == "__main__":
    sys.exit(main())
