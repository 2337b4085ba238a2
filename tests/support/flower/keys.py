"""Certificates and keys for a SuperLink on loopback, as docs/how-to/flower.md makes them by `openssl`."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def node_key(path):
    """A SuperNode's private key and beside it, `.pub`, the public one: `ssh-keygen -t ecdsa -b 384`."""
    made = ec.generate_private_key(ec.SECP384R1())
    own, SSH = serialization.PrivateFormat.OpenSSH, serialization.Encoding.OpenSSH
    path.write_bytes(made.private_bytes(PEM, own, serialization.NoEncryption()))
    form = serialization.PublicFormat.OpenSSH
    path.with_name(path.name + ".pub").write_bytes(made.public_key().public_bytes(SSH, form))
    return path


def _key(path):
    made = ec.generate_private_key(ec.SECP384R1())
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(made.private_bytes(PEM, form, serialization.NoEncryption()))
    return made


def certificates(folder):
    """`ca.crt`, and `server.pem` with `server.key` signed by it, for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    root, own = _key(folder / "ca.key"), _key(folder / "server.key")
    authority = _name("authority")
    first = _certificate(authority, authority, root.public_key(), root, ca=True)
    (folder / "ca.crt").write_bytes(first.public_bytes(PEM))
    second = _certificate(_name("localhost"), authority, own.public_key(), root, ca=False)
    (folder / "server.pem").write_bytes(second.public_bytes(PEM))
    return folder


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, issuer, public, signer, *, ca):
    now = datetime.datetime.now(datetime.UTC)
    here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(here), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
