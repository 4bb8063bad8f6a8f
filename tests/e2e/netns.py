"""Network namespaces: made, joined, entered and always removed again.

A thread enters a namespace for the moment in which it makes a socket or starts a program; both then belong to that
namespace for good. So one test process can hold the two ends of a connection that runs between two pods.

Names are hf-<pid>-<start time>-<number>-<role>: parallel runs do not meet, and what a crashed run left behind is
recognised by the pid that is no longer there.
"""
import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time

CLONE_NEWNET = 0x40000000
RUN_ROOT = "/tmp"
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)
_home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def start_time(pid):
    """The start time of a process in clock ticks since boot, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


def new_prefix():
    return f"hf-{os.getpid()}-{start_time(os.getpid())}-{next(_numbers)}"


def ip(*args, ns=None, check=True):
    """Runs iproute2's ip, in the namespace `ns` (a Namespace) when there is one."""
    command = ["ip"] + (["-n", ns.name] if ns else []) + [str(a) for a in args]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A network namespace with its loopback up and IPv6 on."""

    def __init__(self, prefix, role):
        self.role = role
        self.name = f"{prefix}-{role}"
        ip("netns", "add", self.name)
        self._fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        ip("link", "set", "lo", "up", ns=self)
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside; sockets and programs made meanwhile stay inside."""
        _setns(self._fd)
        try:
            yield
        finally:
            _setns(_home)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with self.entered():
            return socket.socket(family, kind)

    def sysctl(self, name, value):
        with self.entered(), open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(str(value))

    def run(self, command, **options):
        """subprocess.run inside; a failure raises with what the program said."""
        with self.entered():
            done = subprocess.run(command, capture_output=True, text=True, **options)
        if done.returncode:
            raise RuntimeError(f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def nft(self, script):
        return self.run(["nft", "-f", "-"], input=script)

    def pids(self):
        return [int(pid) for pid in ip("netns", "pids", self.name, check=False).split()]

    def remove(self):
        for pid in self.pids():
            if pid != os.getpid():
                _kill(pid)
        os.close(self._fd)
        ip("netns", "del", self.name)


class Router(Namespace):
    """The node: every pod hangs on it by a veth pair of its own, and it forwards between them."""

    def __init__(self, prefix):
        super().__init__(prefix, "node")
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def attach(self, pod, number):
        """Gives `pod` eth0 with 10.77.<number>.2 and fd77:<number>::2; returns both addresses."""
        near = f"veth{number}"
        ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", pod.name, ns=self)
        for ns, device, host in ((self, near, 1), (pod, "eth0", 2)):
            ip("addr", "add", f"10.77.{number}.{host}/24", "dev", device, ns=ns)
            ip("addr", "add", f"fd77:{number}::{host}/64", "dev", device, "nodad", ns=ns)
            ip("link", "set", device, "up", ns=ns)
        ip("route", "add", "default", "via", f"10.77.{number}.1", ns=pod)
        ip("-6", "route", "add", "default", "via", f"fd77:{number}::1", ns=pod)
        return f"10.77.{number}.2", f"fd77:{number}::2"

    def swallow(self, match=""):
        """Drops forwarded packets that match (nft syntax, "" for all) until the returned function is called."""
        table = f"swallow{next(_numbers)}"
        self.nft(f"table inet {table} {{ chain forward {{ type filter hook forward priority 0;"
                 f" {match} counter drop; }}; }}")
        return lambda: self.nft(f"delete table inet {table}")


def _kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        # A child of ours stays a zombie until its Popen is waited for: that is not our business here.
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.01)


def leftovers(prefix):
    """Names of namespaces that start with `prefix` and still exist."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in os.listdir("/run/netns") if name.startswith(prefix + "-"))
    return []


def remove_stale():
    """Removes namespaces and run directories whose creator is gone."""
    found = {}
    for root in ("/run/netns", RUN_ROOT):
        for name in os.listdir(root) if os.path.isdir(root) else ():
            owner = re.match(r"hf-(\d+)-(\d+)-\d+", name)
            if owner and start_time(owner[1]) != owner[2]:
                found.setdefault(root, []).append(name)
    for name in found.get("/run/netns", ()):
        for pid in ip("netns", "pids", name, check=False).split():
            _kill(int(pid))
        ip("netns", "del", name, check=False)
    for name in found.get(RUN_ROOT, ()):
        shutil.rmtree(os.path.join(RUN_ROOT, name), ignore_errors=True)
