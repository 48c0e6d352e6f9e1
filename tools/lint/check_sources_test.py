#!/usr/bin/env python3
"""Plants small files and sees that check_sources.py finds what is wrong in them."""
import pathlib
import tempfile
import tomllib
import unittest

import check_sources

RULES = tomllib.loads(pathlib.Path(check_sources.__file__).with_name("rules.toml").read_text())


def check(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check_sources.Checker(pathlib.Path(folder), RULES).run()


class Functions(unittest.TestCase):
    def lengths(self, text):
        return [last - first + 1 for first, last in check_sources.functions(text)]

    def test_plain_functions(self):
        self.assertEqual(self.lengths("int f() {\n  return 1;\n}\nvoid g(int a)\n{\n  if (a) {\n  }\n}\n"), [3, 5])

    def test_classes_and_namespaces_are_no_functions(self):
        text = "namespace a {\nclass B {\n  void c() {\n  }\n  int d_ = 0;\n};\nenum class E { x };\n}\n"
        self.assertEqual(self.lengths(text), [2])

    def test_tables_are_no_functions(self):
        self.assertEqual(self.lengths("constexpr int kA[] = {\n1,\n2};\nauto t = make({\n1,\n});\n"), [])

    def test_braces_in_text_do_not_count(self):
        text = 'void f() {\n  g("}", \'{\', R"x(}})x");  // }\n  /* { */\n#define A {\n}\nvoid h() {}\n'
        self.assertEqual(self.lengths(text), [5, 1])

    def test_digit_separators_open_no_literal(self):
        self.assertEqual(self.lengths("int f() {\n  return 1'000'000;\n}\nint g() {\n  return 0xff'ff;\n}\n"), [3, 3])

    def test_a_struct_in_the_parameters(self):
        self.assertEqual(self.lengths("int f(const struct stat& s) {\n  return s.x;\n}\n"), [3])


class House(unittest.TestCase):
    def refused(self, files, message):
        self.assertIn(message, "\n".join(check(files)))

    def test_a_good_tree_passes(self):
        self.assertEqual(check({
            "src/sys/CMakeLists.txt": "\n", "src/sys/README.md": "# sys\n",
            "src/sys/raw.cpp": "long f() { return ::syscall(1); }  // throw, exit(\n",
            "apps/substrate/main.cpp": 'int main() { puts("system(x)"); exit(0); }\n',
        }), [])

    def test_lengths(self):
        self.refused({"src/sys/a.cpp": "\n" * 601}, "601 lines; at most 600")
        self.refused({"src/sys/a.cpp": "void f() {\n" + "\n" * 80 + "}\n"}, "a:1: a function of 82 lines".replace("a:1", "a.cpp:1"))
        self.refused({"src/sys/README.md": "\n" * 31}, "31 lines; at most 30")
        self.refused({"apps/CMakeLists.txt": "\n" * 31}, "31 lines; at most 30")

    def test_a_library_without_readme(self):
        self.refused({"src/sys/CMakeLists.txt": "\n"}, "a library has a README.md")

    def test_forbidden(self):
        self.refused({"src/world/a.cpp": "int a = 1;  // TO" "DO later\n"}, "src/world/a.cpp:1: TO" "DO")
        self.refused({"apps/x/main.cpp": "void f() { std::system(c); }\n"}, "system(")
        self.refused({"src/world/a.cpp": "void f() { popen(c, m); }\n"}, "popen(")
        self.refused({"src/world/a.cpp": "void f() { ::syscall(1); }\n"}, "raw system calls belong")
        self.refused({"src/world/a.cpp": "void f() { exit(1); }\n"}, "return a Result")
        self.refused({"src/world/a.cpp": "void f() { std::cerr << 1; }\n"}, "do not print")
        self.refused({"src/world/a.cpp": "void f() { throw 1; }\n"}, "not as exceptions")

    def test_a_header_without_guard(self):
        self.refused({"src/world/a.hpp": "int a;\n"}, "#pragma once")


if __name__ == "__main__":
    unittest.main()
