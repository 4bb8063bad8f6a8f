"""The cluster as the tests see it: kubectl, objects, waiting, nodes, captures; and the shape of a test program.

The cluster is that of tests/kube/cluster, started if it does not run, or the one that KUBECONFIG names. In the latter
case the tests that need its nodes (`needs_nodes`) are skipped, and HANDFAST_KUBE_LOAD is the command that makes an
image known to it, called with the file: "kind load image-archive".

    kube.py up | down      what CTest does before and after the programs with the label kube
"""
import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTER = os.path.join(HERE, "cluster")
STATE = os.environ.get("HANDFAST_KUBE_STATE", "/var/lib/handfast-kube")
BESIDE = STATE + "-beside"  # a second cluster, for tests that others could not bear
FOREIGN = os.environ.get("KUBECONFIG")
APP_IMAGE = "handfast.test/app:1"


def run(*command, input=None, timeout=120, check=True, **options):
    """A command's output; one that fails raises with everything it said."""
    done = subprocess.run([str(word) for word in command], input=input, capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(map(str, command))}: exit {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what, condition, timeout=60, interval=0.1):
    """Polls until condition() is true and returns its value; a deadline raises and names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(interval)


def needs_nodes(test):
    """A test that enters nodes or restarts components."""
    return unittest.skipIf(FOREIGN, "needs the nodes of tests/kube/cluster; KUBECONFIG names another one")(test)


class Cluster:
    """A cluster by its kubeconfig. `namespace` is where objects go that do not say."""

    def __init__(self, kubeconfig, program):
        self.kubeconfig = kubeconfig
        self.program = program  # kubectl
        self.namespace = "default"

    def kubectl(self, *arguments, namespace=None, **options):
        return run(self.program, "--kubeconfig", self.kubeconfig, "--namespace", namespace or self.namespace, *arguments, **options)

    def get(self, *arguments, **options):
        """An object or list as a dict, or None when there is no such thing."""
        text = self.kubectl("get", "--ignore-not-found", "-o", "json", *arguments, **options)
        return json.loads(text) if text else None

    def apply(self, *objects, **options):
        """Applies objects (dicts) and returns what kubectl says."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("apply", "-f", "-", input=json.dumps(listed), **options)

    def create(self, item, **options):
        """Creates one object and returns it as the server made it: for reviews, whose answer is their status."""
        return json.loads(self.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(item), **options))

    def refused(self, item, **options):
        """What the server says against an object; fails if it takes it."""
        try:
            self.apply(item, **options)
        except RuntimeError as error:
            return str(error)
        raise AssertionError(f"the server took {item}")

    def wait(self, condition, what, timeout=120, **options):
        """kubectl wait: `condition` such as condition=Ready, `what` such as pod/web; the object need not exist yet."""
        self.kubectl("wait", "--for=create", what, f"--timeout={timeout}s", timeout=timeout + 30, **options)
        self.kubectl("wait", f"--for={condition}", what, f"--timeout={timeout}s", timeout=timeout + 30, **options)

    def exec(self, pod, *command, container=None, **options):
        chosen = ["--container", container] if container else []
        return self.kubectl("exec", pod, *chosen, "--", *command, **options)

    def logs(self, pod, *arguments, **options):
        return self.kubectl("logs", pod, *arguments, **options)

    def load(self, archive):
        """Makes the images of a docker-archive known to every node."""
        if not FOREIGN:
            run(CLUSTER, "load", archive)
        elif os.environ.get("HANDFAST_KUBE_LOAD"):
            run(*shlex.split(os.environ["HANDFAST_KUBE_LOAD"]), archive, timeout=300)


class Node:
    """A node of tests/kube/cluster."""

    def __init__(self, name="node-1", state=STATE):
        self.name, self.state = name, state

    def exec(self, *command, **options):
        return run(CLUSTER, "exec", self.name, *command, env=dict(os.environ, HANDFAST_KUBE_STATE=self.state), **options)

    def init(self):
        with open(os.path.join(self.state, self.name, "init")) as file:
            return int(file.read().split()[0])

    @staticmethod
    def process(pod, container):
        """The first process of a pod's container, as the machine numbers it."""
        statuses = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
        wanted = next(each["containerID"].split("//")[1] for each in statuses if each["name"] == container)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if wanted in _text(f"/proc/{pid}/cgroup") and _text(f"/proc/{pid}/status").split("NSpid:")[1].split("\n")[0].split()[-1] == "1":
                    return int(pid)
            except OSError:
                pass  # it has ended meanwhile
        raise AssertionError(f"no process of {container} in {pod['metadata']['name']}")

    @contextlib.contextmanager
    def capture(self, match="", interface="pods"):
        """tcpdump on the bridge that the node's pods hang on (or eth0 between the nodes); yields a Capture."""
        with tempfile.TemporaryDirectory(prefix="handfast-kube-") as directory:
            os.chmod(directory, 0o755)
            capture = Capture(os.path.join(directory, "wire.pcap"))
            with open(os.path.join(directory, "said"), "w+") as said:
                tcpdump = subprocess.Popen(["nsenter", "--target", str(self.init()), "--net", "--", "tcpdump", "-Z", "root", "-i",
                                            interface, "-U", "--immediate-mode", "-s", "0", "-w", capture.path, match], stderr=said)
                try:
                    wait_for(f"tcpdump listens on {interface} of {self.name}", lambda: "listening on" in _text(said.name), 20)
                    yield capture
                finally:
                    tcpdump.send_signal(signal.SIGTERM)
                    tcpdump.wait(10)


class Capture:
    """What has been on the wire so far."""

    def __init__(self, path):
        self.path = path

    def bytes(self):
        with open(self.path, "rb") as file:
            return file.read()

    def count(self, pattern):
        return self.bytes().count(pattern)


def _text(path):
    with open(path) as file:
        return file.read()


def cluster():
    """The cluster under test, which runs when this returns."""
    return Cluster(FOREIGN or run(CLUSTER, "up", timeout=900).split()[-1], kubectl())


def kubectl():
    """Ours, or the one on the PATH where nothing was built."""
    built = os.path.join(run(os.path.join(HERE, "build"), "--dir").strip(), "kubectl")
    return built if os.path.exists(built) else "kubectl"


# --- objects -------------------------------------------------------------------------------------------------------------


def container(name="app", *command, **spec):
    """A container of the application image; a command that is not given serves HTTP on 8080."""
    made = {"name": name, "image": APP_IMAGE}
    if command:
        made["command"] = list(command)
    made.update(spec)
    return made


def pod(name, *containers, labels=None, annotations=None, **spec):
    """A pod; without containers it serves HTTP on 8080 and is ready when it does."""
    serve = container(readinessProbe={"httpGet": {"path": "/etc/hostname", "port": 8080}, "periodSeconds": 1})
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {"app": name}, "annotations": annotations or {}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers) or [serve], **spec}}


def service(name, port=80, target=8080, **spec):
    """A service of the pods with the label app=<name>."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}], **spec}}


# --- test programs -------------------------------------------------------------------------------------------------------


class KubeCase(unittest.TestCase):
    """A namespace of its own for each class (with `labels`): self.kube is the cluster, self.namespace the name."""

    labels = {}
    wait_for = staticmethod(wait_for)

    @classmethod
    def setUpClass(cls):
        cls.kube = cluster()
        cls.namespace = f"{cls.__name__.lower()}-{random.randrange(16 ** 6):06x}"
        cls.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cls.namespace, "labels": cls.labels}})
        cls.kube.namespace = cls.namespace
        # A pod that comes before these two does not start.
        cls.kube.kubectl("wait", "--for=create", "serviceaccount/default", "configmap/kube-root-ca.crt", "--timeout=60s")

    @classmethod
    def tearDownClass(cls):
        cls.kube.kubectl("delete", "namespace", cls.namespace, "--wait=false")

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"\n##### {self.id()} failed; what {self.namespace} looks like:")
            for arguments in (("get", "all", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
                print("\n".join(self.kube.kubectl(*arguments, check=False).splitlines()[-25:]))
        return result


def main():
    if os.geteuid() != 0 and not FOREIGN:
        print(f"{sys.argv[0]}: FAILED: a cluster of our own needs root; KUBECONFIG would name another one", file=sys.stderr)
        sys.exit(1)
    unittest.main(verbosity=2, warnings="ignore")


if __name__ == "__main__":
    if sys.argv[1:] not in (["up"], ["down"]):
        sys.exit(__doc__)
    if not FOREIGN:
        for state in [STATE] if sys.argv[1] == "up" else [BESIDE, STATE]:
            if subprocess.run([CLUSTER, sys.argv[1]], env=dict(os.environ, HANDFAST_KUBE_STATE=state)).returncode:
                sys.exit(1)
