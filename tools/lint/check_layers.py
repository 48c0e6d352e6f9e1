#!/usr/bin/env python3
"""Holds the include and link directions that tools/layers.toml allows.

Looks at every #include "library/…" of src, apps, bench and tests, at the DEPS and
target_link_libraries of the libraries' CMakeLists.txt, and at the headers that pure
libraries must not see. Prints one line per finding; exits 1 if there is any.
"""
import argparse
import fnmatch
import pathlib
import re
import sys
import tomllib

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
SOURCE_SUFFIXES = {".cpp", ".hpp", ".c", ".h"}
KEYWORDS = {"SOURCES", "HEADERS", "DEPS", "TESTS", "PUBLIC", "PRIVATE", "INTERFACE"}


def matches(name, patterns):
    return any(name == p or ("*" in p and fnmatch.fnmatchcase(name, p)) for p in patterns)


def is_test_file(path):
    return path.parts[0] == "tests" or path.stem == "testing" or path.stem.endswith(("_test", "_testing", "_test_support"))


class Checker:
    def __init__(self, root, rules):
        self.root = root
        self.libraries = {name: set(uses) for name, uses in rules["libraries"].items()}
        self.unit_tests = rules.get("unit_tests", {})
        self.external = rules.get("external", {}).get("targets", [])
        self.purity = rules.get("purity", {"libraries": [], "headers": []})
        self.raw = rules.get("raw_syscalls", {"headers": [], "folders": []})
        self.findings = []

    def report(self, path, line, message):
        self.findings.append(f"{path}:{line}: {message}")

    def check_rules(self):
        """The list itself: known names only, and no cycle."""
        for name, uses in self.libraries.items():
            for used in sorted(uses - self.libraries.keys()):
                self.report("tools/layers.toml", 1, f"{name} lists {used}, which is no library")
        done, active = set(), []

        def visit(name):
            if name in active:
                self.report("tools/layers.toml", 1, "cycle: " + " -> ".join([*active, name]))
                return
            if name in done or name not in self.libraries:
                return
            active.append(name)
            for used in sorted(self.libraries[name]):
                visit(used)
            active.pop()
            done.add(name)

        for name in self.libraries:
            visit(name)

    def allowed(self, library, test_file):
        extra = set(self.unit_tests.get(library, [])) if test_file else set()
        return self.libraries[library] | {library} | extra

    def check_source(self, path):
        owner = path.parts[1] if path.parts[0] == "src" else None
        test_file = is_test_file(path)
        if owner is not None and owner not in self.libraries:
            return  # reported once by check_folders
        text = (self.root / path).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            found = INCLUDE.match(line)
            if not found:
                continue
            quote, header = found.groups()
            self.check_system_header(path, number, header, owner, test_file)
            if quote == '"' or header.split("/")[0] in self.libraries and self.is_ours(header):
                self.check_project_header(path, number, header, owner, test_file)

    def is_ours(self, header):
        return (self.root / "src" / header).exists()

    def check_project_header(self, path, number, header, owner, test_file):
        library, slash, _ = header.partition("/")
        if ".." in header.split("/"):
            self.report(path, number, f'"{header}" climbs out of its folder')
        elif owner is None:
            if slash and library not in self.libraries and (self.root / "src" / library).is_dir():
                self.report(path, number, f"{library} is not listed in tools/layers.toml")
        elif not slash:
            self.report(path, number, f'write "{owner}/{header}": includes name their library')
        elif library not in self.libraries:
            self.report(path, number, f"{library} is not listed in tools/layers.toml")
        elif library not in self.allowed(owner, test_file):
            self.report(path, number, f"{owner} must not include {library} ({header})")

    def check_system_header(self, path, number, header, owner, test_file):
        if test_file:
            return
        if owner in self.purity["libraries"] and matches(header, self.purity["headers"]):
            self.report(path, number, f"{owner} is pure and must not include <{header}>")
        if header in self.raw["headers"] and not any(
            path.is_relative_to(folder) for folder in self.raw["folders"]
        ):
            self.report(path, number, f"<{header}> belongs into {' and '.join(self.raw['folders'])}")

    def check_folders(self):
        source = self.root / "src"
        for folder in sorted(source.iterdir()) if source.is_dir() else []:
            holds_code = folder.is_dir() and any(f.suffix in SOURCE_SUFFIXES for f in folder.rglob("*"))
            if holds_code and folder.name not in self.libraries:
                self.report(f"src/{folder.name}", 1, "this library is not listed in tools/layers.toml")

    def check_links(self, path):
        """DEPS of substrate_library and substrate_test, and target_link_libraries."""
        text = re.sub(r"#[^\n]*", lambda m: " " * len(m.group()), (self.root / path).read_text())
        for call in re.finditer(r"\b(substrate_library|substrate_test|target_link_libraries)\s*\(([^()]*)\)", text):
            words = call.group(2).replace('"', " ").split()
            if not words:
                continue
            line = text.count("\n", 0, call.start()) + 1
            is_test = call.group(1) == "substrate_test" or words[0].endswith("_test")
            owner = path.parts[1]
            if call.group(1) == "substrate_library" and words[0] != owner:
                self.report(path, line, f"the library of src/{owner} must be called {owner}")
            linked, in_deps = [], call.group(1) == "target_link_libraries"
            for word in words[1:]:
                if word in KEYWORDS:
                    in_deps = word == "DEPS" or call.group(1) == "target_link_libraries"
                elif in_deps:
                    linked.append(word)
            if owner not in self.libraries:
                continue
            for name in linked:
                if name in self.libraries:
                    if name not in self.allowed(owner, is_test):
                        self.report(path, line, f"{owner} must not link {name}")
                elif not matches(name, self.external):
                    self.report(path, line, f"{owner} links {name}, which tools/layers.toml does not know")

    def run(self):
        self.check_rules()
        self.check_folders()
        for top in ("src", "apps", "bench", "tests"):
            for file in sorted((self.root / top).rglob("*")):
                path = file.relative_to(self.root)
                if file.suffix in SOURCE_SUFFIXES and file.is_file():
                    self.check_source(path)
                elif file.name == "CMakeLists.txt" and top == "src" and len(path.parts) > 2:
                    self.check_links(path)
        return self.findings


def main():
    parser = argparse.ArgumentParser(description="Checks the directions of tools/layers.toml.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    parser.add_argument("--rules", type=pathlib.Path, help="default: ROOT/tools/layers.toml")
    arguments = parser.parse_args()
    rules_file = arguments.rules or arguments.root / "tools" / "layers.toml"
    with rules_file.open("rb") as file:
        rules = tomllib.load(file)
    findings = Checker(arguments.root, rules).run()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
