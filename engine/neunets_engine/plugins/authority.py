"""The engine's own certificate authority: who may speak to it from another host, and how it shows itself.

All keys are P-256, which every gRPC implementation takes; P-521 and Ed25519 fail in some.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["ENGINE_NAME", "Authority", "Credentials", "ends_at", "public_key_of"]

# In the engine's certificate, beside its hosts: what plugins expect, whatever address they dial.
ENGINE_NAME: Final = "engine.neunets"
AUTHORITY_LIFE: Final = datetime.timedelta(days=3650)
ENGINE_LIFE: Final = datetime.timedelta(days=397)
# Clocks of other hosts may be late.
SKEW: Final = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Owns the folder of its key; everything else is issued anew whenever it is needed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate, key = folder / "ca.pem", folder / "ca-key.pem"
        if not (certificate.exists() and key.exists()):
            _found(certificate, key)
        self.certificate = certificate.read_bytes()
        self._issuer = x509.load_pem_x509_certificate(self.certificate).subject
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        self._key = loaded

    def engine(self, hosts: Sequence[str]) -> Credentials:
        """For the engine, as a server on `hosts` and as a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Credentials(self._issued(key.public_key(), [ENGINE_NAME, *hosts], ENGINE_LIFE), _private(key))

    def plugin(self, host_name: str, life: datetime.timedelta) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        return Credentials(self._issued(key.public_key(), [host_name], life), _private(key))

    def renewed(self, public_key: str, host_name: str, life: datetime.timedelta) -> bytes:
        """A new certificate (PEM) of a key (PEM) that has one."""
        key = serialization.load_pem_public_key(public_key.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return self._issued(key, [host_name], life)

    def _issued(self, key: ec.EllipticCurvePublicKey, names: Sequence[str], life: datetime.timedelta) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(names[0]))
            .issuer_name(self._issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def public_key_of(certificate: bytes) -> str:
    """PEM, of a certificate in PEM."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def ends_at(certificate: bytes) -> float:
    """Seconds of the epoch."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


def _found(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = _named("NeuNetS engine")
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(private, hashes.SHA256())
    )
    _write(key, _private(private))
    _write(certificate, own.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, for nobody else to read."""
    scratch = path.with_suffix(".part")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    scratch.replace(path)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
