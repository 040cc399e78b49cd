"""Makes the evidence vectors: each document is wrong in one thing, and its name says in which.

The law: what stands inside the seal is sealed again with the genuine key, so that the step that must find
the fault does find it; a file is the same in every run. ``index.json`` says for each file when, and by
which trust file, it is judged, and what the conclusion must be. Run it to write the folder again:
``PYTHONPATH=. python tests/vectors/evidence/make_vectors.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import vectors_attestation as attestation  # noqa: E402
import vectors_content as content  # noqa: E402
import vectors_device_certificate as device_certificate  # noqa: E402
import vectors_markup as markup  # noqa: E402
import vectors_seal_certificate as seal_certificate  # noqa: E402
import vectors_signature as signature  # noqa: E402
from vector import TRUSTS, Sub, Vector  # noqa: E402


def kept() -> Iterator[Vector]:
    """The vectors that are files."""
    for group in (
        *(content.good, content.statement, content.times, content.agreement, content.profile),
        attestation.attested,
        *(device_certificate.device, device_certificate.crls, seal_certificate.seal),
        *(signature.seal, signature.device, markup.document),
    ):
        yield from group()


def unkept() -> Iterator[Vector]:
    """More vectors, which are only made when they are judged: a file of each would say little more."""
    yield from markup.spelling()
    yield from markup.unreadable()


def index(made: list[Vector]) -> str:
    entries = []
    for vector in made:
        sub = vector.found
        judged = isinstance(sub, Sub)
        entries.append(
            {
                "file": f"{vector.name}.xml",
                "trust": f"pki/{vector.trust}.pem",
                **({} if vector.roots is None else {"roots": vector.roots}),
                "at": vector.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "indication": str(sub.indication) if judged else "TOTAL-PASSED",
                "sub_indication": str(sub) if judged else None,
                "step": vector.step,
                "says": vector.defect,
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def files() -> dict[str, bytes]:
    """Every file of the folder that is made, by its name."""
    made = list(kept())
    names = [vector.name for vector in made]
    assert len(set(names)) == len(names), {n for n in names if names.count(n) > 1}
    return {
        **{f"{vector.name}.xml": vector.data for vector in made},
        **{f"pki/{name}.pem": data for name, data in TRUSTS.items()},
        "index.json": index(made).encode(),
    }


if __name__ == "__main__":
    for old in (*HERE.glob("*.xml"), *(HERE / "pki").glob("trust*.pem")):
        old.unlink()
    for file_name, file_data in files().items():
        (HERE / file_name).write_bytes(file_data)
