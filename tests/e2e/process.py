"""Programs under test and beside it: started in a namespace, logged to files, ended by pid."""
import contextlib
import os
import re
import signal
import subprocess
import time

PROXY_UID = 1337
SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:)")


def wait_for(what, condition, timeout=20, interval=0.02):
    """Polls until condition() is true and returns its value; a deadline raises and names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(interval)


class Process:
    """One program: its output is in <directory>/<name>.out and .err. It dies with the test."""

    def __init__(self, argv, ns, name, directory, uid=None, env=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.ns = ns
        self.out_path = os.path.join(directory, name + ".out")
        self.err_path = os.path.join(directory, name + ".err")
        self.uid = uid
        self.env = env
        self.stdin = stdin
        self.popen = None
        self.expect_exit = {0}  # what the tear-down accepts besides
        self.stopped = False

    def start(self):
        """Appends to the logs of an earlier start. Main thread only: the program dies with the thread."""
        wrap = ["setpriv", "--pdeathsig", "KILL"]
        if self.uid == PROXY_UID:  # the usual soft limit: the proxy raises it itself
            wrap = ["prlimit", "--nofile=1024:"] + wrap
        if self.uid is not None:
            wrap += ["--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"]
        environ = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1",
                       LSAN_OPTIONS="report_objects=0", **(self.env or {}))
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            with self.ns.entered() if self.ns else contextlib.nullcontext():
                self.popen = subprocess.Popen(wrap + self.argv, stdin=self.stdin, stdout=out, stderr=err, env=environ)
        self.stopped = False
        return self

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def send_signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=30):
        return self.popen.wait(timeout)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Ends it and returns its exit status; one that does not end is killed and that is an error."""
        if self.popen is None:
            return 0
        if self.running():
            self.send_signal(number)
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end within {timeout} s of signal {number}") from None
        self.stopped = True
        return status

    def kill(self):
        """SIGKILL, and nobody minds the exit status."""
        if self.popen and self.running():
            self.popen.kill()
        if self.popen:
            self.popen.wait()
        self.stopped = True
        self.expect_exit.add(-signal.SIGKILL)

    def out(self):
        with open(self.out_path, errors="replace") as file:
            return file.read()

    def err(self):
        with open(self.err_path, errors="replace") as file:
            return file.read()

    def wait_line(self, pattern, timeout=20, stream="err"):
        """Waits for a line that matches and returns the match."""
        read = self.err if stream == "err" else self.out

        def found():
            match = re.search(pattern, read(), re.MULTILINE)
            if not match and not self.running():
                raise AssertionError(f"{self.name} ended ({self.popen.poll()}) without saying {pattern!r}:\n{self.tail()}")
            return match
        return wait_for(f"{self.name} says {pattern!r}", found, timeout)

    def tail(self, lines=25):
        parts = []
        for path in (self.out_path, self.err_path):
            with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as file:
                last = file.read().splitlines()[-lines:]
                if last:
                    parts.append(f"--- {path}\n" + "\n".join(line[:400] for line in last))
        return "\n".join(parts)

    def sanitizer_report(self):
        """The first sanitizer finding in the logs, or None."""
        for path in (self.out_path, self.err_path):
            with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as file:
                text = file.read()
                match = SANITIZER.search(text)
                if match:
                    return text[max(0, match.start() - 200):match.start() + 3000]
        return None

    def memory(self):
        """Private bytes: what would be free if the process ended."""
        total = 0
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
