#!/usr/bin/env python3
"""Holds the house rules of tools/lint/rules.toml: lengths, READMEs, forbidden calls.

Prints one line per finding; exits 1 if there is any.
"""
import argparse
import pathlib
import re
import sys
import tomllib

CXX = {".cpp", ".hpp", ".c", ".h"}
COUNTED = CXX | {".sh", ".py", ".cmake", ".bats"}
SKIPPED_FOLDERS = {"build", ".git", ".cache"}

# One alternative per thing that may hold a brace or a word that is not code.
NOT_CODE = re.compile(
    r"""(?P<raw>R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)")
      | //(?:\\\n|[^\n])*
      | /\*.*?\*/
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'
    """,
    re.DOTALL | re.VERBOSE,
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
NO_FUNCTION = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b(?![^{]*\))")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def strip(text):
    """The same text with comments, literals and directives turned into spaces."""
    return DIRECTIVE.sub(blank, NOT_CODE.sub(blank, text))


def looks_like_function(head):
    """Whether `{` after this text opens a function body."""
    if ")" not in head or head.rstrip().endswith(("=", ",", "(", "return")):
        return False
    if head.count("(") != head.count(")"):
        return False
    return not NO_FUNCTION.search(head)


def functions(text):
    """(first line, last line) of each outermost function."""
    code = strip(text)
    depth, body_depth, start = 0, None, 0
    head_begin = 0
    found = []
    for position, char in enumerate(code):
        if char == "{":
            if body_depth is None and looks_like_function(code[head_begin:position]):
                body_depth = depth
                head = code[head_begin:position]
                start = head_begin + len(head) - len(head.lstrip())
            depth += 1
            head_begin = position + 1
        elif char == "}":
            depth -= 1
            head_begin = position + 1
            if body_depth is not None and depth <= body_depth:
                found.append((code.count("\n", 0, start) + 1, code.count("\n", 0, position) + 1))
                body_depth = None
        elif char == ";":
            head_begin = position + 1
    return found


def below(path, places):
    return any(path.is_relative_to(place) for place in places)


class Checker:
    def __init__(self, root, rules):
        self.root = root
        self.limits = rules["limits"]
        self.forbidden = [(re.compile(rule["pattern"]), rule) for rule in rules.get("forbidden", [])]
        self.findings = []

    def report(self, path, line, message):
        self.findings.append(f"{path}:{line}: {message}")

    def check_length(self, path, lines, limit):
        if lines > limit:
            self.report(path, lines, f"{lines} lines; at most {limit}")

    def check_file(self, path):
        text = (self.root / path).read_text(encoding="utf-8", errors="replace")
        lines = len(text.splitlines())
        if path.suffix in COUNTED or text.startswith("#!"):
            self.check_length(path, lines, self.limits["file_lines"])
        if path.name == "CMakeLists.txt" and len(path.parts) > 1:
            self.check_length(path, lines, self.limits["cmake_lines"])
        if path.name == "README.md" and path.parts[0] == "src":
            self.check_length(path, lines, self.limits["readme_lines"])
        if path.suffix in CXX:
            self.check_functions(path, text)
            self.check_forbidden(path, text)
        if path.suffix == ".hpp" and "#pragma once" not in text:
            self.report(path, 1, "a header starts with #pragma once")

    def check_functions(self, path, text):
        for first, last in functions(text):
            length = last - first + 1
            if length > self.limits["function_lines"]:
                self.report(path, first, f"a function of {length} lines; at most {self.limits['function_lines']}")

    def check_forbidden(self, path, text):
        code = strip(text)
        for pattern, rule in self.forbidden:
            if not below(path, rule["folders"]) or below(path, rule.get("allow", [])):
                continue
            test_file = path.stem == "testing" or path.stem.endswith(("_test", "_testing", "_test_support"))
            if test_file and not rule.get("in_comments"):
                continue
            for number, line in enumerate((text if rule.get("in_comments") else code).splitlines(), start=1):
                found = pattern.search(line)
                if found:
                    self.report(path, number, f"{found.group().strip()}: {rule['message']}")

    def check_readmes(self):
        source = self.root / "src"
        for folder in sorted(source.iterdir()) if source.is_dir() else []:
            if (folder / "CMakeLists.txt").is_file() and not (folder / "README.md").is_file():
                self.report(f"src/{folder.name}", 1, "a library has a README.md")

    def run(self):
        for file in sorted(self.root.rglob("*")):
            path = file.relative_to(self.root)
            if path.parts[0] in SKIPPED_FOLDERS or not file.is_file() or file.is_symlink():
                continue
            named = path.name in ("CMakeLists.txt", "README.md", "dev", "run")
            if path.suffix in COUNTED or named:
                self.check_file(path)
        self.check_readmes()
        return self.findings


def main():
    parser = argparse.ArgumentParser(description="Checks the house rules of tools/lint/rules.toml.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    parser.add_argument("--rules", type=pathlib.Path, default=pathlib.Path(__file__).with_name("rules.toml"))
    arguments = parser.parse_args()
    with arguments.rules.open("rb") as file:
        rules = tomllib.load(file)
    findings = Checker(arguments.root, rules).run()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
