"""The trees of files that bench/run measures on."""
import os
import shutil
import sys

MAKE_FILES = 60
MAKE_FUNCTIONS = 200  # in each
FILES_A_DIRECTORY = 25
FILES_OF_NOTHING = 1000  # in a directory


def write_many_files(tree, files):
    """Small files in small directories, as packages of npm are."""
    for directory in range(files // FILES_A_DIRECTORY):
        path = tree / f"package_{directory // 40}" / f"part_{directory}"
        path.mkdir(parents=True)
        for file in range(FILES_A_DIRECTORY):
            (path / f"module_{file}.js").write_text("x" * (200 + 40 * file))


def write_empty_files(tree, files):
    """Names without content: what a tree of that size is to who looks for names."""
    for directory in range(files // FILES_OF_NOTHING):
        path = tree / f"group_{directory // 100}" / f"part_{directory}"
        path.mkdir(parents=True)
        for file in range(FILES_OF_NOTHING):
            os.mknod(path / f"file_{file}.txt")


def write_c_project(project):
    """A program of MAKE_FILES files, of which each costs the compiler real work."""
    headers = "#include <errno.h>\n#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <time.h>\n"
    for file in range(MAKE_FILES):
        body = [headers]
        for function in range(MAKE_FUNCTIONS):
            body.append(
                f"static unsigned step_{function}(unsigned value, const char *text) {{\n"
                f"    if (value % {function + 2}u == 0) value ^= (unsigned)strlen(text) << {function % 13};\n"
                f"    return value * {2 * function + 3}u + (unsigned char)text[0];\n}}\n")
        calls = "".join(f"    value = step_{function}(value, text);\n" for function in range(MAKE_FUNCTIONS))
        body.append(f"unsigned part_{file}(unsigned value, const char *text) {{\n{calls}    return value;\n}}\n")
        (project / f"part_{file}.c").write_text("".join(body))
    declarations = "".join(f"unsigned part_{file}(unsigned value, const char *text);\n" for file in range(MAKE_FILES))
    uses = "".join(f"    value = part_{file}(value, argv[0]);\n" for file in range(MAKE_FILES))
    (project / "main.c").write_text(
        f"#include <stdio.h>\n{declarations}int main(int argc, char **argv) {{\n    unsigned value = (unsigned)argc;\n{uses}"
        '    printf("%u\\n", value);\n    return 0;\n}\n')
    (project / "Makefile").write_text(
        "CFLAGS = -O0\nOBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\n"
        "clean:\n\trm -f program $(OBJECTS)\n.PHONY: clean\n")


def remove(tree):
    """Removes a tree, with directories in it that overlayfs has closed to us."""

    def unlock(function, path, _):
        try:
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            if function is os.unlink:
                os.unlink(path)
            else:
                shutil.rmtree(path, ignore_errors=True)
        except OSError as error:
            print(f"bench: {path} stays: {error.strerror}", file=sys.stderr)

    shutil.rmtree(tree, onerror=unlock)
