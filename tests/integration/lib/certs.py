"""certs: a certificate of one's own, for servers on loopback."""
import os, subprocess


def make_certificate(folder):
    """A CA, and a certificate for localhost and 127.0.0.1; paths of ca, cert, key."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    openssl("req", *ec, "-keyout", "key.pem", "-out", "csr", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem", "-days", "1",
            "-extfile", "ext")
    return [os.path.join(folder, n) for n in ("ca.pem", "cert.pem", "key.pem")]
