"""Makes what a deployment keeps secret: certificates, passwords, the server's users, a join token for each role.

`python deploy/prepare.py --host server` writes to `deploy/secrets`, which is readable by its owner only:

- `ca.crt`, `ca.key`: the authority that signs certificates; the key is needed for further ones only, keep it elsewhere
- `server.crt`, `server.key`, `users.acl`: what the server reads
- `submitter.join`, `worker.join`, `monitor.join`: `TEK_JOIN=@FILE` of each role, with address, password, certificate
- `identity.pem`: the submitter's key, whose plans the workers perform
- `admin.password`, `flower.password`: for people; `monitor.password`, `monitor.crt`, `monitor.key`: for autoscalers

What is there already is kept, so that it may be called again; `--renew` makes new certificates and passwords (but no
new authority and no new submitter's key), after which server and clients start again with them.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import ipaddress
import os
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskexec.completion.keys import KeyFolder
from taskexec.domain.join import JoinToken

HERE = Path(__file__).parent
ROLES = ("submitter", "worker", "monitor")
AUTHORITY_DAYS = 3650
CLOCK_SKEW = datetime.timedelta(hours=1)


def render_users(template: str, passwords: dict[str, str]) -> str:
    """Return the server's ACL file: one line a user, no comments, passwords as their SHA-256."""
    lines: list[str] = []
    for line in template.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    text = "\n".join(lines) + "\n"
    return re.sub(r"@([A-Z]+)@", lambda found: hashlib.sha256(passwords[found[1].lower()].encode()).hexdigest(), text)


class Authority:
    """A private authority, and the certificates it signs."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def in_folder(cls, folder: Path) -> Authority:
        """Return the authority of a folder; it is made where there is none."""
        certificate, key = folder / "ca.crt", folder / "ca.key"
        if key.exists() and certificate.exists():
            loaded = serialization.load_pem_private_key(key.read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)
        made = ec.generate_private_key(ec.SECP256R1())
        name = _name("taskexec authority")
        builder = _builder(name, name, made.public_key(), AUTHORITY_DAYS).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(_usage(signs=True), critical=True).add_extension(
            x509.SubjectKeyIdentifier.from_public_key(made.public_key()), critical=False
        )
        authority = cls(builder.sign(made, hashes.SHA256()), made)
        write(key, _pem_of_key(made))
        write(certificate, authority.certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    def issue(self, subject: str, hosts: Sequence[str], *, days: int) -> tuple[bytes, bytes]:
        """Return certificate and key as PEM; with hosts that of a server, without that of a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            _builder(_name(subject), self.certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(name) for name in hosts]), critical=False
            )
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), _pem_of_key(key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        decipher_only=False,
        **dict.fromkeys(names, False),
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


def prepare(
    folder: Path, hosts: Sequence[str], *, port: int, days: int = 365, renew: bool = False, with_tls: bool = True
) -> None:
    """Write what is missing in the folder of secrets; with `renew` all but the authority and the submitter's key."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = KeyFolder(folder).identity().public
    passwords = {role: _password(folder, role, renew=renew) for role in ("admin", *ROLES)}
    _password(folder, "flower", renew=renew)
    write(folder / "users.acl", render_users((HERE / "server" / "users.acl.in").read_text("utf-8"), passwords).encode())
    authority = Authority.in_folder(folder) if with_tls else None
    if authority is not None and (renew or not (folder / "server.crt").exists()):
        certificate, key = authority.issue("taskexec server", [*hosts, "localhost", "127.0.0.1", "::1"], days=days)
        write(folder / "server.key", key)
        write(folder / "server.crt", certificate)
    for role in ROLES:
        if not renew and (folder / f"{role}.join").exists():
            continue
        host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
        at = f"{role}:{passwords[role]}@{host}:{port}/0"
        if authority is None:
            token = JoinToken(f"redis://{at}", (public,))
        else:
            certificate, key = authority.issue(role, [], days=days)
            if role == "monitor":  # for what cannot read a token, such as KEDA and exporters
                write(folder / "monitor.crt", certificate)
                write(folder / "monitor.key", key)
            pems = (authority.certificate.public_bytes(serialization.Encoding.PEM), certificate, key)
            token = JoinToken(f"rediss://{at}", (public,), *(pem.decode("ascii") for pem in pems))
        write(folder / f"{role}.join", f"{token.encoded()}\n".encode())


def _password(folder: Path, role: str, *, renew: bool) -> str:
    path = folder / f"{role}.password"
    if renew or not path.exists():
        write(path, secrets.token_urlsafe(24).encode() + b"\n")
    return path.read_text("ascii").strip()


def main(arguments: Sequence[str] | None = None, *, tell: Callable[[str], object] = sys.stderr.write) -> int:
    """Prepare what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--host", action="append", required=True, help="name or address of the server; the first one goes into tokens"
    )
    parser.add_argument("--port", type=int, default=6379, help="its port (6379)")
    parser.add_argument("--out", type=Path, default=HERE / "secrets", help="folder to write to (deploy/secrets)")
    parser.add_argument("--days", type=int, default=365, help="days that certificates are valid (365)")
    parser.add_argument("--renew", action="store_true", help="make new certificates and passwords")
    parser.add_argument("--no-tls", action="store_true", help="passwords only: for a network that is private otherwise")
    given = parser.parse_args(arguments)
    prepare(given.out, given.host, port=given.port, days=given.days, renew=given.renew, with_tls=not given.no_tls)
    tell(f"prepared {given.out}: keep it secret, and `ca.key` best elsewhere\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
