"""The mesh on one machine: a node, a control plane and pods, each a network namespace.

    with Mesh("my-test", [{"name": "a"}, {"name": "b"}]) as mesh:
        a, b = mesh.pods["a"], mesh.pods["b"]

See README.md for the rest.
"""
import json
import os
import shutil
import stat
import subprocess

import netns
from netns import Namespace, Router
from pod import Pod
from process import Process, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("HANDFAST_BIN", os.path.join(ROOT, "build", "release")))
MODE = os.environ.get("HANDFAST_MODE", "mesh")  # or "direct": no proxies, the truth as the kernel tells it
PROGRAMS = ("handfast-proxy", "handfast-control", "handfast-redirect", "handfast-injector", "handfast")
CONTROL_NUMBER = 250


def sanitized():
    """True when the programs under test were built with a sanitizer."""
    try:
        with open(os.path.join(BIN, "handfast-proxy"), "rb") as file:
            return b"__asan_init" in file.read()
    except FileNotFoundError:
        return False


def yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            nested = isinstance(item, (dict, list)) and item
            lines.append(f"{pad}{key}:\n{yaml(item, indent + 1)}" if nested else f"{pad}{key}: {json.dumps(item)}")
        return "\n".join(lines)
    if isinstance(value, list) and value:
        return "\n".join(f"{pad}- {yaml(item, indent + 1).lstrip()}" if isinstance(item, (dict, list)) and item
                         else f"{pad}- {json.dumps(item)}" for item in value)
    return pad + json.dumps(value)


class Control(Namespace):
    """The control plane's namespace, its state directory and its process."""

    def __init__(self, mesh):
        super().__init__(mesh.prefix, "control")
        self.mesh = mesh
        self.ip4, self.ip6 = mesh.node.attach(self, CONTROL_NUMBER)
        self.state = os.path.join(mesh.run_dir, "state")
        self.file = os.path.join(mesh.run_dir, "mesh.yaml")
        self.root = os.path.join(mesh.run_dir, "root.pem")  # a copy that uid 1337 can read
        self.process = None

    def start(self, **options):
        settings = {"mesh": self.file, "state": self.state, "log-format": "json"}
        settings.update({k.replace("_", "-"): v for k, v in {**self.mesh.control_options, **options}.items()})
        argv = [self.mesh.binary("handfast-control")]
        for name, value in settings.items():
            if value is not None:
                argv += [f"--{name}", str(value)]
        if self.process is None:
            self.process = Process(argv, self, "control", self.mesh.directory)
            self.mesh.processes.append(self.process)
        self.process.argv = argv
        self.process.start()

        def listening():
            if not self.process.running():
                raise AssertionError(f"handfast-control exited with {self.process.popen.returncode}:\n"
                                     + self.process.tail())
            with self.socket() as sock:
                return sock.connect_ex((self.ip4, 15012)) == 0
        wait_for("handfast-control listens", listening, 30)
        shutil.copy(os.path.join(self.state, "root.pem"), self.root)
        os.chmod(self.root, 0o644)

    def token(self, namespace, account, **options):
        argv = [self.mesh.binary("handfast"), "token", "--state", self.state,
                "--service-account", f"{namespace}/{account}"]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    metrics = Pod.metrics
    metric = Pod.metric
    connect = Pod.connect

    def http(self, port, path, host=None, timeout=10):
        return Pod.http(self, 15014 if port == 15020 else port, path, host, timeout)


class Mesh:
    """Everything that a test needs around its pods. Use as a context manager, or up() and down()."""

    def __init__(self, name, pods, services=(), policies=(), mtls=(), mode=None, proxy=None, control=None,
                 trust_domain="demo.handfast"):
        self.mode = mode or MODE
        self.trust_domain = trust_domain
        self.specs, self.services = list(pods), list(services)
        self.policies, self.mtls = list(policies), list(mtls)
        self.proxy_options, self.control_options = dict(proxy or {}), dict(control or {})
        self.prefix = netns.new_prefix()
        self.run_dir = os.path.join(netns.RUN_ROOT, self.prefix)
        self.directory = os.path.join(ROOT, "build", "e2e", name)
        self.pods, self.processes, self.node, self.control = {}, [], None, None
        self.problems = []

    def binary(self, name):
        return os.path.join(self.bin, name)

    def _find_binaries(self):
        missing = [p for p in PROGRAMS if not os.access(os.path.join(BIN, p), os.X_OK)]
        if missing:
            raise RuntimeError(f"{', '.join(missing)} not found in {BIN}: build first, or set HANDFAST_BIN")
        self.bin, folder = BIN, BIN
        while folder != "/":  # uid 1337 must be able to reach them
            if not os.stat(folder).st_mode & stat.S_IXOTH:
                self.bin = os.path.join(self.run_dir, "bin")
                os.mkdir(self.bin)
                for program in PROGRAMS:
                    shutil.copy(os.path.join(BIN, program), self.bin)
                break
            folder = os.path.dirname(folder)

    def up(self):
        netns.remove_stale()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        os.mkdir(self.run_dir, 0o755)
        try:
            self.node = Router(self.prefix)
            self.control = Control(self)
            if self.mode == "mesh":
                self._find_binaries()
            for number, spec in enumerate(self.specs, 1):
                self.pods[spec["name"]] = Pod(self, number, spec)
            if self.mode == "mesh":
                self.write()
                self.control.start()
                self._start_sidecars()
        except BaseException:
            self.print_tails()
            self.down()
            raise
        return self

    def _start_sidecars(self):
        sidecars = [pod for pod in self.pods.values() if pod.has_proxy and pod.spec.get("start", True)]
        for pod in sidecars:
            pod.write_token()
            pod.redirect("apply")
            pod.start_proxy(ready=False)
        for pod in sidecars:
            pod.wait_ready()

    def document(self):
        workloads = [w for w in (pod.workload() for pod in self.pods.values()) if w]
        return {"trust_domain": self.trust_domain, "workloads": workloads, "services": self.services,
                "policies": self.policies, "mtls": self.mtls}

    def write(self, text=None):
        """Writes mesh.yaml from pods, services, policies and mtls (or `text`), in one rename."""
        if text is None:
            text = yaml(self.document()) + "\n"
        with open(self.control.file + ".new", "w") as file:
            file.write(text)
        os.rename(self.control.file + ".new", self.control.file)

    def apply(self, policies=None, mtls=None, services=None, timeout=20):
        """Changes mesh.yaml and waits until every running proxy has the change."""
        self.policies = self.policies if policies is None else list(policies)
        self.mtls = self.mtls if mtls is None else list(mtls)
        self.services = self.services if services is None else list(services)
        want = len(self.policies) + len(self.mtls)
        self.write()
        names = {p["name"] for p in self.policies}
        for pod in self.pods.values():
            if not pod.proxy or not pod.proxy.running():
                continue

            def arrived(pod=pod):
                config = pod.handfast("config")
                have = config["policies"]
                return (len(have) == want and names <= {p["name"] for p in have}
                        and len(config["services"]) == len(self.services))
            wait_for(f"{pod.pod_name} has the new configuration", arrived, timeout)

    def target(self, service, port=None):
        """(host, port) to dial: the service's address in the mesh, its first endpoint without."""
        record = next(s for s in self.services if s["name"] == service)
        entry = record["ports"][0]
        if self.mode == "mesh":
            return record["addresses"][0], port or entry["port"]
        selected = next(p for p in self.pods.values()
                        if record.get("selector", {}).items() <= p.spec.get("labels", {"app": p.pod_name}).items())
        return selected.ip4, entry.get("target_port", entry["port"])

    def print_tails(self):
        for process in self.processes:
            print(f"=== {process.name}\n{process.tail()}", flush=True)

    def down(self):
        """Ends and removes everything; problems (exit status, sanitizer, leftovers) raise at the end."""
        order = [p for p in self.processes if not p.name.startswith(("proxy-", "control"))]
        order += [p for p in self.processes if p.name.startswith("proxy-")]
        order += [p for p in self.processes if p.name == "control"]
        for process in order:
            if process.popen is None or process.stopped:
                continue
            try:
                status = process.popen.poll() if not process.running() else process.stop()
                if status not in process.expect_exit:
                    self.problems.append(f"{process.name} exited with {status}\n{process.tail(8)}")
            except AssertionError as error:
                self.problems.append(str(error))
        for process in self.processes:
            report = process.sanitizer_report()
            if report:
                self.problems.append(f"{process.name}: {report}")
        for namespace in [*self.pods.values(), self.control, self.node]:
            if namespace:
                namespace.remove()
        self.problems += [f"namespace {name} is left over" for name in netns.leftovers(self.prefix)]
        shutil.rmtree(self.run_dir, ignore_errors=True)
        problems, self.problems = self.problems, []
        if problems:
            raise AssertionError("\n".join(problems))

    def __enter__(self):
        return self.up()

    def __exit__(self, kind, value, trace):
        if kind:
            self.print_tails()
            try:
                self.down()
            except AssertionError as error:
                print(error)
        else:
            self.down()
