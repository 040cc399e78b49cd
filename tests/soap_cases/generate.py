"""Makes the raw requests of this folder and their index: hostile, odd, or just wrong, one defect each.

A ``.http`` file is what goes over the wire: request line, header fields, an empty line, the body's bytes.
The index names for each the HTTP status and the code of the fault (null: no fault). ``python generate.py``
writes them; a test fails where they are not what it would write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # where this package is

from soap_cases import envelope_cases, mtom_cases, parsing_cases, schema_cases, transport_cases  # noqa: E402
from soap_cases.pieces import Case  # noqa: E402


def cases() -> list[Case]:
    made = [
        *transport_cases.cases(),
        *parsing_cases.cases(),
        *envelope_cases.cases(),
        *schema_cases.cases(),
        *mtom_cases.cases(),
    ]
    assert len({case.name for case in made}) == len(made)
    return made


def index() -> str:
    rows = [{"name": c.name, "file": f"{c.name}.http", "status": c.status, "code": c.code} for c in cases()]
    return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n"


if __name__ == "__main__":
    for old in HERE.glob("*.http"):
        old.unlink()
    for case in cases():
        (HERE / f"{case.name}.http").write_bytes(case.raw())
    (HERE / "index.json").write_text(index())
