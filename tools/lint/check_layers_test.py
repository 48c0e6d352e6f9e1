#!/usr/bin/env python3
"""Plants small source trees and sees that check_layers.py finds what is wrong in them."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[1]


def check(files):
    """Runs the checker over `files` (path -> text) under the real rules."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = [sys.executable, str(TOOLS / "lint" / "check_layers.py"), "--root", folder]
        command += ["--rules", str(TOOLS / "layers.toml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class CheckLayers(unittest.TestCase):
    def refused(self, files, message):
        code, output = check(files)
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)

    def accepted(self, files):
        code, output = check(files)
        self.assertEqual((code, output), (0, ""))

    def test_a_good_tree_passes(self):
        self.accepted({
            "src/model/span.hpp": '#include <string>\n#include "base/ids.hpp"\n#include "model/names.hpp"\n',
            "src/model/CMakeLists.txt": "substrate_library(model\n  SOURCES a.cpp\n  DEPS base \"${FMT_LIBRARIES}\"\n  TESTS t.cpp)\n",
            "src/sys/file.cpp": "#include <sys/syscall.h>\n#include <unistd.h>\n",
            "src/process/child_main.cpp": "#include <sys/syscall.h>\n",
            "apps/substrate/main.cpp": '#include <iostream>\n#include "world/launch.hpp"\n#include "args.hpp"\n',
            "tests/contract/world_test.cpp": '#include <sys/syscall.h>\n#include "support/box.hpp"\n',
        })

    def test_an_upward_include(self):
        self.refused({"src/base/ids.cpp": '\n#include "sys/file.hpp"\n'}, "src/base/ids.cpp:2: base must not include sys")

    def test_a_sideways_include(self):
        self.refused({"src/plan/plan.hpp": '#include "capture/x.hpp"\n'}, "plan must not include capture")

    def test_a_unit_test_follows_its_library(self):
        self.refused({"src/plan/plan_test.cpp": '#include "world/x.hpp"\n'}, "plan must not include world")

    def test_an_include_in_angle_brackets(self):
        self.refused({"src/sys/file.hpp": "\n", "src/base/ids.cpp": "#include <sys/file.hpp>\n"}, "base must not include sys")

    def test_an_unlisted_library(self):
        self.refused({"src/magic/wand.cpp": "\n"}, "src/magic:1: this library is not listed")
        self.refused({"src/world/a.cpp": '#include "magic/wand.hpp"\n'}, "magic is not listed")

    def test_an_include_without_its_library(self):
        self.refused({"src/world/a.cpp": '#include "overlay.hpp"\n'}, 'write "world/overlay.hpp"')

    def test_a_climbing_include(self):
        self.refused({"src/model/a.cpp": '#include "../sys/file.hpp"\n'}, "climbs out")

    def test_a_forbidden_link(self):
        self.refused({"src/codec/CMakeLists.txt": "substrate_library(codec SOURCES a.cpp DEPS base sys)\n"},
                     "codec must not link sys")
        self.refused({"src/codec/CMakeLists.txt": "\ntarget_link_libraries(codec PRIVATE world)\n"},
                     "src/codec/CMakeLists.txt:2: codec must not link world")

    def test_an_unknown_link(self):
        self.refused({"src/codec/CMakeLists.txt": "substrate_library(codec SOURCES a.cpp DEPS nftables)\n"},
                     "codec links nftables")

    def test_a_misnamed_library(self):
        self.refused({"src/codec/CMakeLists.txt": "substrate_library(world SOURCES a.cpp)\n"}, "must be called codec")

    def test_an_impure_library(self):
        for header in ("unistd.h", "sys/stat.h", "fstream", "filesystem", "iostream", "fcntl.h"):
            for library in ("model", "codec", "plan"):
                with self.subTest(header=header, library=library):
                    self.refused({f"src/{library}/a.cpp": f"#  include <{header}>\n"}, f"{library} is pure")

    def test_a_unit_test_of_a_pure_library_may_read_files(self):
        self.accepted({"src/plan/plan_test.cpp": "#include <fstream>\n"})

    def test_a_raw_system_call_header(self):
        self.refused({"src/world/a.cpp": "#include <sys/syscall.h>\n"}, "<sys/syscall.h> belongs into")
        self.refused({"apps/substrate/main.cpp": "#include <sys/syscall.h>\n"}, "<sys/syscall.h> belongs into")


if __name__ == "__main__":
    unittest.main()
