"""Somebody else's client of our control plane: openssl makes the key, curl speaks gRPC, no code of ours takes part."""
import os
import subprocess

CONTROL_NAME = "handfast-control.handfast-system.svc"
CREATE_CERTIFICATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


def varint(number):
    out = b""
    while True:
        low, number = number & 0x7F, number >> 7
        if not number:
            return out + bytes([low])
        out += bytes([low | 0x80])


def field(number, value):
    """A length-delimited protobuf field."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    """The length-delimited fields of a message: a list of (number, bytes). Varints are skipped."""
    found, at = [], 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
    while at < len(message):
        key = take()
        if key & 7 == 0:
            take()
            continue
        size = take()
        found.append((key >> 3, message[at:at + size]))
        at += size
    return found


def call(control, method, message, token=None, metadata=()):
    """A unary call by curl from the control plane's namespace: (grpc-status, grpc-message, answer or b"")."""
    body = os.path.join(control.mesh.run_dir, f"grpc-{os.getpid()}-{os.urandom(4).hex()}")
    with open(body, "wb") as file:
        file.write(b"\0" + len(message).to_bytes(4, "big") + message)
    headers = ["content-type: application/grpc", "te: trailers", *metadata]
    if token is not None:
        headers.append(f"authorization: Bearer {token}")
    argv = ["curl", "-sS", "--http2", "--max-time", "20", "--cacert", control.root, "-D", body + ".head",
            "-o", body + ".out", "--resolve", f"{CONTROL_NAME}:15012:{control.ip4}", "-X", "POST",
            "--data-binary", "@" + body]
    for header in headers:
        argv += ["-H", header]
    try:
        control.run([*argv, f"https://{CONTROL_NAME}:15012{method}"])
    except RuntimeError as error:
        # An answer before the whole request was read ends with RST_STREAM, which curl calls an error (92, 55, 56).
        if not os.path.exists(body + ".head") or "grpc-status" not in open(body + ".head").read().lower():
            raise error
    status, text = None, ""
    with open(body + ".head") as file:
        for line in file:
            name, _, value = line.strip().partition(":")
            if name.lower() == "grpc-status":
                status = int(value)
            if name.lower() == "grpc-message":
                text = value.strip()
    answer = b""
    if os.path.exists(body + ".out"):
        with open(body + ".out", "rb") as file:
            answer = file.read()[5:]
    return status, text, answer


def make_csr(directory, uri):
    """A P-256 key and a signing request by openssl: (key path, PEM of the request)."""
    key = os.path.join(directory, f"key-{os.urandom(4).hex()}.pem")
    done = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", key, "-subj", "/", "-addext", f"subjectAltName=critical,URI:{uri}"],
                          check=True, capture_output=True, text=True)
    return key, done.stdout


def issue(pod):
    """A certificate for the pod's own identity: (key path, chain path). Raises when the control plane refuses."""
    key, csr = make_csr(pod.directory, pod.spiffe_id)
    control = pod.mesh.control
    status, text, answer = call(control, CREATE_CERTIFICATE, field(1, csr), control.token(pod.namespace, pod.account))
    if status != 0:
        raise AssertionError(f"CreateCertificate: {status} {text}")
    chain = os.path.join(pod.directory, "chain.pem")
    with open(chain, "wb") as file:
        file.write(b"".join(value for number, value in fields(answer) if number == 1))
    os.chmod(key, 0o644)
    return key, chain
