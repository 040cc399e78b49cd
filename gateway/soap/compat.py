"""Makes spyne 2.14.0 import on Python 3.12 and 3.13, and keeps it quiet.

The law: this module is imported before anything of spyne. Spyne carries a copy of six whose importer has
lost its meaning (Python 3.12 asks no importer for ``find_module``), and imports ``cgi``, which PEP 594
took with 3.13; the copy of six is kept, as PyPI's has not all of its names. Spyne's loggers would print
whole bodies, names and credentials included; its forced garbage collections, one a second, would stop
every thread.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

SPYNE_VERSION: Final = "2.14.0"
_SIX: Final = "spyne.util.six"


def _find_spec(importer: Any, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
    return importlib.util.spec_from_loader(name, importer) if name in importer.known_modules else None


def _create_module(importer: Any, spec: ModuleSpec) -> Any:
    return importer.load_module(spec.name)


def _exec_module(importer: Any, module: ModuleType) -> None:
    """load_module has done it."""


def _mend_six() -> None:
    """Loads spyne's six by path, under its own name, and gives its importer the methods of PEP 451."""
    if _SIX in sys.modules:
        raise ImportError("gateway.soap.compat must be imported before spyne")
    spyne = importlib.util.find_spec("spyne")
    if spyne is None or spyne.origin is None:
        raise ImportError("spyne is not installed")
    path = Path(spyne.origin).parent / "util" / "six.py"
    spec = importlib.util.spec_from_file_location(_SIX, path)
    if spec is None or spec.loader is None:
        raise ImportError("spyne has no six")
    six = importlib.util.module_from_spec(spec)
    sys.modules[_SIX] = six
    spec.loader.exec_module(six)
    importer = type(six._importer)
    importer.find_spec = _find_spec
    importer.create_module = _create_module
    importer.exec_module = _exec_module


def _mend_cgi() -> None:
    """``cgi`` where it is gone: spyne wants ``parse_header`` alone, and only where it reads HTTP itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            importlib.import_module("cgi")
        except ModuleNotFoundError:
            sys.modules["cgi"] = ModuleType("cgi")


def _quiet() -> None:
    logger = logging.getLogger("spyne")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


if importlib.metadata.version("spyne") != SPYNE_VERSION:
    raise ImportError(f"the SOAP face was measured with spyne {SPYNE_VERSION} and no other")
_mend_six()
_mend_cgi()
_quiet()

import spyne.const  # noqa: E402

spyne.const.MIN_GC_INTERVAL = float("inf")
