"""The shape of every end-to-end test program: a test case around a mesh, and a main that is loud about root."""
import concurrent.futures
import os
import sys
import unittest

import mesh as mesh_module
from mesh import Mesh
from process import wait_for

ASAN = mesh_module.sanitized()
DIRECT = mesh_module.MODE == "direct"


def needs_mesh(test):
    """A test that has no meaning without proxies."""
    return unittest.skipIf(DIRECT, "direct mode: there is no proxy")(test)


def fewer(count, asan):
    """`count`, or `asan` against the sanitizer build, which is several times slower."""
    return asan if ASAN else count


class MeshCase(unittest.TestCase):
    """A mesh for each class, made of the attributes below; `self.mesh`, and its pods by name as self.<name>."""

    pods = [{"name": "a"}, {"name": "b"}]
    services, policies, mtls = [], [], []
    proxy, control = {}, {}
    wait_for = staticmethod(wait_for)

    @classmethod
    def setUpClass(cls):
        program = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        name = f"{program}-{cls.__name__}" + ("-direct" if DIRECT else "")
        cls.mesh = Mesh(name, cls.pods, cls.services, cls.policies, cls.mtls,
                        proxy=cls.proxy, control=cls.control).up()
        for name, pod in cls.mesh.pods.items():
            setattr(cls, name.replace("-", "_"), pod)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.down()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"\n##### {self.id()} failed; the programs' last words:")
            self.mesh.print_tails()
        return result

    def repeat(self, count, run, at_once=None):
        """Runs run(i) `count` times, all at once unless told otherwise, and reports every failure."""
        with concurrent.futures.ThreadPoolExecutor(at_once or count) as pool:
            jobs = [pool.submit(run, i) for i in range(count)]
            failures = [f"#{i}: {type(job.exception()).__name__}: {job.exception()}"
                        for i, job in enumerate(jobs) if job.exception()]
        if failures:
            self.fail(f"{len(failures)} of {count} failed:\n" + "\n".join(failures[:10]))


def main():
    if os.geteuid() != 0:
        print(f"{sys.argv[0]}: FAILED: needs root to make network namespaces", file=sys.stderr)
        sys.exit(1)
    unittest.main(verbosity=2, warnings="ignore")
