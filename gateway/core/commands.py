"""The xmlsec1 command lines by which anybody checks both signatures of an evidence document.

The law: each line names the one signature that it checks (``--node-xpath``), or xmlsec1 would check the
first it finds and say OK; the key comes from an X.509 certificate alone (``--enabled-key-data x509``), or
an attacker's bare key would do; Ids are declared by element and namespace (``--id-attr``), for there is no
DTD. What xmlsec1 does not judge is left to ``verifier``: roles, revocation, the profile, and whether
statement and evidence agree.
"""

from __future__ import annotations

from typing import Final

from gateway.core import xades
from gateway.core.statement import NAMESPACE

_COMMON: Final = ("xmlsec1", "--verify", "--enabled-key-data", "x509", "--trusted-pem")
_PROPERTIES: Final = ("--id-attr:Id", f"{xades.XADES}:SignedProperties")
_DEVICE: Final = "//*[local-name()='DeviceSignature']/*[local-name()='Signature']"
_SEAL: Final = "/*/*[local-name()='Signature']"


def xmlsec1_commands(evidence: str, trust: str) -> tuple[tuple[str, list[str]], ...]:
    """(what it checks, argv) for the device's signature and for the seal, in this order.

    Both file names are taken as they are; ``trust`` is a PEM file whose first certificate is the anchor.
    """
    statement = ("--id-attr:Id", f"{NAMESPACE}:Statement")
    key_info = ("--id-attr:Id", f"{xades.DS}:KeyInfo")
    return (
        ("device signature", [*_COMMON, trust, *statement, *_PROPERTIES, "--node-xpath", _DEVICE, evidence]),
        ("seal", [*_COMMON, trust, *key_info, *_PROPERTIES, "--node-xpath", _SEAL, evidence]),
    )
