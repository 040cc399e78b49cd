"""Profile pictures: verifying, a SOAP call, and a walk as the gateway's side of it sees it.

The law: the walk runs through the faces in this process, on the same Postgres, so that one picture holds
everything; the phone's and the bank's work is in it under their own names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import flames
import messages
from documents import Corpus
from traffic import Running, Walker, derived
from walk import through

from gateway.composition import build_gateway
from gateway.config import load
from gateway.rates import Cells
from gateway.wsgi import build_application

SHOWN = 12
"""Functions named in print."""


def _draw(work: Callable[[], object], folder: Path, name: str, *, title: str, seconds: float) -> list[str]:
    found = flames.sample(work, seconds=seconds)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"profile-{name}.svg"
    path.write_text(flames.picture(found, title=title), encoding="utf-8")
    ours = [row for row in flames.shares(found).items() if row[0].startswith(("gateway.", "spyne."))]
    lines = [f"  {100 * part:>5.1f} %  {function}" for function, part in ours[:SHOWN]]
    return ["\n".join([f"{title}: {path.name}", *lines])]


def of_documents(corpus: Corpus, folder: Path, *, seconds: float) -> list[str]:
    def work() -> None:
        for document in corpus.sealed[:10]:
            corpus.verify(document)

    return _draw(work, folder, "verify", title="verify_evidence", seconds=seconds)


def of_messages(folder: Path, *, seconds: float) -> list[str]:
    call, _ = messages.canned("GetTransaction")
    return _draw(call, folder, "soap", title="GetTransaction in process, canned service", seconds=seconds)


def of_walk(running: Running, folder: Path, *, seconds: float) -> list[str]:
    configuration = load(running.live.folder)
    gateway = build_gateway(configuration, running.store)
    application = build_application(configuration, gateway, cells=Cells())
    walker = Walker(running, lambda *request: through(application, *request))
    with derived([walker]):
        return _draw(walker.walk, folder, "walk", title="a walk, faces in process", seconds=seconds)
