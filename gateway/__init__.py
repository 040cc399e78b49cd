"""mobileid-gateway: strong authentication and consent signing for banks."""

__version__ = "0.1.0"
