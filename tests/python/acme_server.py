"""An ACME server (the serles-acme package) for the gateway's tests: `DIRECTORY HOST PORT`, over TLS. Protocol and
validation are its own; here is only what it signs with: an authority in DIRECTORY/ca.pem whose certificates last
DIRECTORY/lifetime seconds, and which refuses while there is a file DIRECTORY/refuse.
"""
import datetime
import os
import sys
import types

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def builder(subject, key, seconds):
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(name("test authority")).public_key(key)
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now)
    return made.not_valid_after(now + datetime.timedelta(seconds=seconds))


class Authority:
    def __init__(self, directory):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        root = builder(name("test authority"), self.key.public_key(), 86400)
        root = root.add_extension(x509.BasicConstraints(True, None), True)
        self.certificate = root.sign(self.key, hashes.SHA256())
        self.write("ca.pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def write(self, file, data):
        path = os.path.join(self.directory, file)
        with open(path, "wb") as out:
            out.write(data)
        return path

    def server(self, host):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = builder(name(host), key.public_key(), 86400)
        certificate = certificate.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        signed = certificate.sign(self.key, hashes.SHA256())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return (
            self.write("acme.pem", signed.public_bytes(pem)),
            self.write("acme.key", key.private_bytes(pem, pkcs8, serialization.NoEncryption())),
        )

    def sign(self, csr, subjectDN, subjectAltNames, email):
        if os.path.exists(os.path.join(self.directory, "refuse")):
            return None, "not today"
        with open(os.path.join(self.directory, "lifetime")) as lifetime:
            seconds = int(lifetime.read())
        request = x509.load_pem_x509_csr(csr if isinstance(csr, bytes) else csr.encode())
        certificate = builder(name(subjectAltNames[0]), request.public_key(), seconds)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        signed = certificate.add_extension(names, False).sign(self.key, hashes.SHA256())
        both = [signed, self.certificate]
        return "".join(part.public_bytes(serialization.Encoding.PEM).decode() for part in both), None


def main(directory, host, port):
    authority = Authority(directory)
    backend = types.ModuleType("backend")
    backend.Backend = lambda config: authority
    sys.modules["backend"] = backend
    os.environ["CONFIG"] = authority.write("serles.ini", f"""[serles]
database = sqlite:///{directory}/serles.sqlite
backend = backend:Backend
subjectNameTemplate = CN={{SAN[0]}}
allowedServerIpRanges = 127.0.0.0/8
""".encode())
    from serles import create_app
    from werkzeug.serving import run_simple

    run_simple(host, int(port), create_app(), ssl_context=authority.server(host), threaded=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
