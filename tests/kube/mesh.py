"""Handfast on the cluster of kube.py: its image, its release, and what applications say of it.

HANDFAST_IMAGE is a docker-archive to use instead of the image that tests/kube/handfast-image makes of deploy/Dockerfile.
"""
import contextlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import time

from kube import CLUSTER, FOREIGN, HERE, KubeCase, Node, cluster, container, run, wait_for

CHART = os.path.join(HERE, "..", "..", "helm", "handfast")
SYSTEM = "handfast-system"
MESHED = {"handfast.io/inject": "enabled"}

with open(os.path.join(HERE, "apps.py")) as source:
    APPS = ["python3", "-c", source.read()]

_image = []


def _archive():
    cache = os.environ.get("HANDFAST_KUBE_CACHE") or os.path.expanduser("~/.cache/handfast-kube")
    return os.environ.get("HANDFAST_IMAGE") or os.path.join(cache, "handfast.tar")


def image():
    """The image's name, which every node knows when this returns; made once by a program."""
    if not _image:
        archive = _archive()
        if not os.environ.get("HANDFAST_IMAGE"):
            run(os.path.join(HERE, "handfast-image"), archive, timeout=1500)
        cluster().load(archive)
        with tarfile.open(archive) as tar:
            _image.append(json.load(tar.extractfile("manifest.json"))[0]["RepoTags"][0].removeprefix("docker.io/library/"))
    return _image[0]


def helm(*arguments, **options):
    built = os.path.join(run(os.path.join(HERE, "build"), "--dir").strip(), "helm")
    return run(built if os.path.exists(built) else "helm", "--kubeconfig", cluster().kubeconfig, "--namespace", SYSTEM, *arguments, **options)


def install(**values):
    """helm install as a user does it, or an upgrade to these values where it is there already."""
    repository, tag = image().rsplit(":", 1)
    values = {"image.repository": repository, "image.tag": tag, "image.pullPolicy": "Never", **values}
    helm("upgrade", "--install", "handfast", CHART, "--create-namespace", "--wait", "--timeout", "120s",
         "--set", ",".join(f"{key}={value}" for key, value in values.items()), timeout=180)


def load_image(node):
    """Makes the image known to a node that joined later."""
    run(CLUSTER, "load", _archive(), node)


def second_image():
    """The same image by another name, as a newer version would have one."""
    name = image().rsplit(":", 1)[0] + ":second"
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        with tarfile.open(_archive()) as old, tarfile.open(archive.name, "w") as new:
            for entry in old:
                content = old.extractfile(entry) if entry.isfile() else None
                if entry.name == "manifest.json":
                    manifest = json.load(content)
                    manifest[0]["RepoTags"] = ["docker.io/library/" + name]
                    text = json.dumps(manifest).encode()
                    content, entry.size = io.BytesIO(text), len(text)
                if entry.name != "repositories":
                    new.addfile(entry, content)
        cluster().load(archive.name)
    return name


def uninstall():
    helm("uninstall", "handfast", "--ignore-not-found", "--wait", "--timeout", "60s")


# --- objects -------------------------------------------------------------------------------------------------------------


def server(**spec):
    """A container that runs apps.py serve; ready when its HTTP answers, unless `spec` says otherwise."""
    ready = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    return container("app", *APPS, "serve", ports=[{"name": "http", "containerPort": 8080}], **{"readinessProbe": ready, **spec})


def client(**spec):
    """A container that waits to be exec'd into."""
    return container("app", "sh", "-c", "trap exit TERM; sleep infinity & wait", **spec)


def template(name, *containers, labels=None, annotations=None, **spec):
    """A pod template whose service account is named as it is."""
    return {"metadata": {"labels": {"app": name, **(labels or {})}, "annotations": annotations or {}},
            "spec": {"serviceAccountName": name, "terminationGracePeriodSeconds": 15, "containers": list(containers), **spec}}


def account(name):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def deployment(name, *containers, replicas=1, kind="Deployment", also=None, **options):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": template(name, *containers, **options), **(also or {})}}


def policy(kind, name, **spec):
    return {"apiVersion": "handfast.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


# --- test programs -------------------------------------------------------------------------------------------------------


class MeshCase(KubeCase):
    """A namespace with sidecars in a cluster that has Handfast."""

    labels = MESHED

    @classmethod
    def setUpClass(cls):
        install()
        super().setUpClass()
        cls.kube.kubectl("wait", "--for=create", "configmap/handfast-ca-root-cert", "--timeout=60s")

    def pods(self, name, **options):
        """The pods of the application that are not on their way out."""
        found = self.kube.get("pods", "-l", f"app={name}", **options)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def spiffe(self, account):
        return f"spiffe://cluster.local/ns/{self.namespace}/sa/{account}"

    def fetch(self, url, pod="deploy/client", **options):
        """What curl in `pod` gets: (its exit status, what it says)."""
        said = self.kube.kubectl("exec", pod, "-c", "app", "--", "curl", "-sS", "--max-time", "5", "-w", " %{exitcode} %{http_code}",
                                 url, check=False, **options)
        text, code, _ = said.rsplit(" ", 2)
        return int(code), text.strip()

    def proxy_says(self, pod, *words):
        """Waits for a line of the pod's sidecar that has all the words, and returns it."""
        def found():
            lines = self.kube.logs(pod, "-c", "handfast-proxy").splitlines()
            return [line for line in lines if all(word in line for word in words)]
        return wait_for(f"the sidecar of {pod} says {words}", found, 20)[-1]

    @contextlib.contextmanager
    def load(self, url, pod="deploy/client"):
        """Requests from a pod (of the application client) while the block runs; yields Figures, which are complete afterwards."""
        argv = [self.kube.program, "--kubeconfig", self.kube.kubeconfig, "-n", self.namespace, "exec", "-i", pod, "-c", "app", "--"]
        if not FOREIGN and pod == "deploy/client":  # not through the API server, which may restart
            argv = ["nsenter", "--target", str(Node.process(self.pods("client")[0], "app")), "--all"]
        argv += [*APPS, "load", url]
        running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        figures = Figures(running)
        start = time.monotonic()
        try:
            running.stdout.readline()
            figures.more()
            yield figures
            figures.more()
        finally:
            said, _ = running.communicate(timeout=60)
            figures.update(json.loads(said or '{"failed": "the load itself ended"}'))
            print(f"{self.id()}: {time.monotonic() - start:.1f} s, {figures}", flush=True)


class Figures(dict):
    """What a load says when it ends, and how far it is while it runs."""

    def __init__(self, running):
        super().__init__()
        self.running = running

    def count(self):
        """(requests answered, requests failed) so far"""
        self.running.stdin.write("\n")
        said = self.running.stdout.readline()
        if not said:
            raise AssertionError("the load itself ended; was its connection through the API server cut?")
        return tuple(map(int, said.split()))

    def more(self, requests=200):
        """Waits until so many more were answered: the way to let time pass that means something."""
        target = self.count()[0] + requests
        wait_for(f"{requests} more requests are answered", lambda: self.count()[0] >= target, 60)
