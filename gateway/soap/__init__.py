"""The SOAP face; whatever of it is imported first, spyne is mended before it is imported."""

from gateway.soap import compat  # noqa: F401
