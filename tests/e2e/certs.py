"""Certificates that a good authority would never issue: openssl signs them with the mesh's own issuing key."""
import os
import subprocess
import time


def _openssl(*args, **options):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(args)}: {done.stderr}")
    return done.stdout


def _stamp(offset_s):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + offset_s))


class Authority:
    """Signs whatever it is told to; by default it is the mesh's issuer."""

    def __init__(self, directory, state=None):
        self.directory, self._count = directory, 0
        os.makedirs(directory, exist_ok=True)
        if state:
            self.key, self.cert = os.path.join(state, "issuer-key.pem"), os.path.join(state, "issuer.pem")
        else:
            self.key, self.cert = os.path.join(directory, "root-key.pem"), os.path.join(directory, "root.pem")
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", self.key, "-out", self.cert, "-subj", "/CN=nobody knows this root", "-days", "1")
        with open(os.path.join(directory, "index.txt"), "w"):
            pass
        with open(os.path.join(directory, "ca.conf"), "w") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\n"
                       f"serial={directory}/serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
                       "[p]\ncommonName=optional\n")

    def issue_server(self, name, **options):
        """A key and a chain for a server of this DNS name."""
        return self.issue(f"DNS:{name}", eku="serverAuth", **options)

    def issue(self, *uris, begins_s=-120, ends_s=3600, eku="serverAuth,clientAuth", ca=False, usage="digitalSignature"):
        """A key and a chain with these SANs, URIs unless they say DNS: (key path, chain path)."""
        self._count += 1
        stem = os.path.join(self.directory, f"leaf{self._count}")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                 "-keyout", stem + "-key.pem", "-out", stem + ".csr")
        with open(stem + ".ext", "w") as file:
            file.write(f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\nkeyUsage=critical,{usage}\n")
            if eku:
                file.write(f"extendedKeyUsage={eku}\n")
            if uris:
                file.write("subjectAltName=critical," + ",".join(uri if uri.startswith("DNS:") else f"URI:{uri}" for uri in uris) + "\n")
        leaf = _openssl("ca", "-config", os.path.join(self.directory, "ca.conf"), "-batch", "-notext", "-rand_serial",
                        "-preserveDN", "-keyfile", self.key, "-cert", self.cert, "-in", stem + ".csr",
                        "-extfile", stem + ".ext", "-startdate", _stamp(begins_s), "-enddate", _stamp(ends_s))
        with open(self.cert) as issuer, open(stem + "-chain.pem", "w") as chain:
            chain.write(leaf + issuer.read())
        return stem + "-key.pem", stem + "-chain.pem"
