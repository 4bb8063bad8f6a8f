"""No program of ours may load OpenSSL: its names are BoringSSL's too, and the linker would mix them up."""
import os
import re
import subprocess

from case import MeshCase, main, needs_mesh
from mesh import BIN, PROGRAMS

FORBIDDEN = re.compile(r"lib(ssl|crypto)\.so\.[1-9]|libgrpc\.so|libcurl")  # BoringSSL's are called .so.0


class Libraries(MeshCase):
    @needs_mesh
    def test_what_the_linker_would_load(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                said = subprocess.run(["ldd", os.path.join(BIN, program)], check=True, capture_output=True,
                                      text=True).stdout
                self.assertNotRegex(said, FORBIDDEN)
                self.assertNotIn("not found", said)

    @needs_mesh
    def test_what_is_loaded_once_they_run(self):
        for process in (self.a.proxy, self.b.proxy, self.mesh.control.process):
            with self.subTest(program=process.name):
                with open(f"/proc/{process.pid}/maps") as maps:
                    said = maps.read()
                self.assertIn("libcrypto.so", said)
                self.assertNotRegex(said, FORBIDDEN)


if __name__ == "__main__":
    main()
