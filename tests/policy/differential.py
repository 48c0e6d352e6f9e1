#!/usr/bin/env python3
"""Holds our reading of command lines against what a shell really executes.

usage: differential.py PARSER RECORDER [--count N] [--seed N] [--shell bash|dash]

Random lines are run by the shell in a sandbox without network and with nothing
to write to, where most programs are recorders. For every line that the parser
understood in full, each program that ran must be among the commands it named,
with the same words. Exit 0: so it was; 1: it was not, the lines are printed; 77: no
sandbox can be had here.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

RECORDED = ["sudo", "rm", "ls", "curl", "make", "git", "foo", "bar"]
REAL = ["env", "nice", "timeout", "nohup", "xargs", "find", "setsid", "stdbuf", "cat", "bash", "sh", "true", "tee"]
PIECES = [
    "sudo ls", "rm -rf /x", "ls", "curl x", "make all", "git push", "foo", "bar 1 2", "true", "false", ":", "echo hi",
    "env sudo ls", "env A=b ls", "env -i sudo x", "env -S 'sudo a b'", "env -u A foo", "nice -n 5 sudo ls", "nice foo",
    "timeout 5 sudo ls", "timeout -k 1 5 foo", "nohup sudo ls", "setsid foo", "stdbuf -oL sudo ls", "xargs sudo </dev/null",
    "find / -maxdepth 0 -exec sudo ls \\;", "find /tmp -maxdepth 0 -exec foo {} +", "bash -c 'sudo ls'", "sh -c 'foo; bar'",
    "sh -c \"sudo 'a b'\"", "bash -ec 'foo' x y", "command sudo ls", "command -v sudo", "exec sudo ls", "builtin command foo",
    "eval sudo ls", "eval 'foo; bar'", "trap 'sudo x' EXIT", "s'u'do ls", "\"sudo\" ls", "\\sudo ls", "$'\\x73udo' ls",
    "su\\\ndo ls", "foo \\\n bar", "foo a\\ b", "foo 'a b' \"c d\"", "foo \"a'b\" 'c\"d'", "foo a#b", "foo # bar",
    "X=1 sudo ls", "X=$(sudo ls)", "X=`foo`", "foo $(bar)", "foo `bar`", "foo \"$(sudo ls)\"", "foo \"`bar`\"", "foo ${X:-$(bar)}",
    "foo <(bar)", "foo > >(bar)", "cat <(foo)", "foo $((1+2))", "foo ~", "foo {a,b}", "foo {}", "foo *", "foo $X", "$X foo",
    "cat <<E\nfoo\nE\n", "cat <<'E'\n$(sudo ls)\nE\n", "cat <<E\n$(sudo ls)\nE\n", "bash <<E\nsudo ls\nE\n", "cat <<-E\n\tfoo\n\tE\n",
    "sh <<'E'\nfoo\nbar\nE\n", "bash <<< 'sudo ls'", "cat <<< foo", "f() { sudo ls; }; f", "function g { foo; }; g", "f() ( bar ); f",
    "alias x=sudo", "x ls", "foo >/dev/null 2>&1", ">/dev/null foo", "foo 2>/dev/null bar", "foo &>/dev/null", "foo <&-",
    "if foo; then bar; fi", "if true; then sudo ls; else foo; fi", "while false; do foo; done", "for i in 1 2; do foo; done",
    "for i in a; do foo $i; done", "case x in x) foo;; *) bar;; esac", "case x in (y) foo ;; x) sudo ls ;& z) bar ;; esac",
    "[ a = a ] && foo", "[[ a == a ]] && foo", "[[ a =~ ^(a|b)$ ]] && bar", "((1+1)) && foo", "! foo", "time foo", "time -p bar",
    "{ foo; bar; }", "(foo; bar)", "{ foo; } >/dev/null", "(sudo ls) 2>/dev/null", "foo | bar", "foo |& bar", "echo 'sudo ls' | sh",
    "foo && bar", "foo || bar", "foo & wait", "export X=$(foo)", "declare -a a=(1 $(foo))", "a=(1 $(bar)); foo", "hash -p /bin/sudo ls; ls",
    "until foo; do bar; done", "unset X", "test -n x && foo", "set -- sudo ls", "\"$@\"", "shopt -s expand_aliases\nalias ls='sudo '\nls foo",
]
JOINS = ["; ", "\n", " && ", " || ", " | ", " & ", ";", "&&", "|", " "]
NOISE = list("\\'\"`$(){}[]<>|&;#!~*?=+-/ \t\n%^:,.") + [
    "$(", "${", "<<", "<(", ">(", "((", "))", "[[", "]]", "\\\n", ";;", "&&", "||", "$'", '$"', " #", "do", "done", "in", "esac", "fi", "then",
    "<<E", "\nE\n", "EOF", "sudo", " foo", "x=", "x+=", "a[0]=", "2>", ">&", "&>", "<>", ">|", "time ", "! ", "coproc ", "function ", "case "]


def a_line(rng):
    line = rng.choice(PIECES)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        line += rng.choice(JOINS) + rng.choice(PIECES)
    wrap = rng.random()
    if wrap < 0.06:
        line = "( " + line + " )"
    elif wrap < 0.12:
        line = "{ " + line + "; }"
    elif wrap < 0.18:
        line = "foo \"$(" + line + ")\""
    elif wrap < 0.22 and "'" not in line:
        line = "bash -c '" + line + "'"
    elif wrap < 0.26:
        line = "if true; then " + line + "; fi"
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 4])):
        at = rng.randrange(len(line) + 1)
        kind = rng.random()
        if kind < 0.5:
            line = line[:at] + rng.choice(NOISE) + line[at:]
        elif kind < 0.75:
            line = line[:at] + line[at + rng.choice([1, 1, 2, 5]):]
        else:
            until = min(len(line), at + rng.choice([3, 6, 12]))
            to = rng.randrange(len(line) + 1)
            line = line[:to] + line[at:until] + line[to:]
    return line


def limited():
    """Of the shells in the sandbox, before they start."""
    resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def inside(shell):
    """The sandbox's side: JSON lines in, JSON lists of records out."""
    environment = {"PATH": "/tools", "HOME": "/home/u", "LC_ALL": "C.UTF-8"}
    for row in sys.stdin:
        pathlib.Path("/tmp/record").write_bytes(b"")
        shutil.rmtree("/tmp/w", ignore_errors=True)
        os.mkdir("/tmp/w")
        child = subprocess.Popen([f"/tools/{shell}", "-c", json.loads(row)], cwd="/tmp/w", env=environment, preexec_fn=limited,
                                 start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=4)
        except subprocess.TimeoutExpired:
            pass
        # Nothing of this line may write into the next one's record.
        while others := [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]:
            for process in others:
                try:
                    os.kill(process, signal.SIGKILL)
                except OSError:
                    pass
            child.poll()
        data = pathlib.Path("/tmp/record").read_bytes()
        records = [[word.decode("utf-8", "replace") for word in record.split(b"\0")[:-1]] for record in data.split(b"\n\0")[:-1]]
        print(json.dumps(records), flush=True)


def sandbox(recorder, shell, tools):
    for name in RECORDED:
        shutil.copy(recorder, tools / name)
    for name in REAL:
        found = shutil.which("dash" if name == "sh" else name)
        if found:
            (tools / name).symlink_to(os.path.realpath(found) if name != "sh" else found)
    (tools / "dash").symlink_to(shutil.which("dash"))
    os.chmod(tools, 0o755)
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
    for folder in ["/usr", "/bin", "/lib", "/lib64", "/etc/alternatives"]:
        if os.path.exists(folder):
            command += ["--ro-bind", folder, folder]
    command += ["--ro-bind", str(tools), "/tools", "--ro-bind", os.path.abspath(__file__), "/self.py", "--tmpfs", "/tmp",
                "--proc", "/proc", "--dev", "/dev", "--dir", "/home/u", "python3", "/self.py", "--inside", "--shell", shell]
    prefix = ["prlimit", "--nproc=256"]
    if os.geteuid() == 0:
        # Limits on processes do not hold root.
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *prefix]
    return [*prefix, *command]


def differences(lines, parsed, run):
    """Lines that were understood in full but ran something else."""
    wrong, judged, ran = [], 0, 0
    for line, reading, records in zip(lines, parsed, run):
        if reading["refused"] or reading["unresolved"]:
            continue
        judged += 1
        named = []
        for words in reading["commands"]:
            named.append([words[0].rsplit("/", 1)[-1], *words[1:]])
        for record in records:
            ran += 1
            plain = ["/dev/fd" if word.startswith("/dev/fd/") else word for word in record]
            if plain not in named:
                wrong.append((line, record, named))
                break
    return wrong, judged, ran


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parser", nargs="?")
    parser.add_argument("recorder", nargs="?")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shell", choices=["bash", "dash"], default="bash")
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    options.parser, options.recorder = (path and os.path.abspath(path) for path in (options.parser, options.recorder))
    if options.inside:
        return inside(options.shell)
    for tool in ["bwrap", "setpriv", "prlimit", "dash", "bash"]:
        if not shutil.which(tool):
            print(f"skipped: there is no {tool}")
            return 77
    rng = random.Random(options.seed)
    lines = [a_line(rng) for _ in range(options.count)]
    lines = [line for line in lines if "\0" not in line]
    rows = "".join(json.dumps(line) + "\n" for line in lines)
    dialect = ["posix"] if options.shell == "dash" else []
    parsed = subprocess.run([options.parser, *dialect], input=rows, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        tools = pathlib.Path(scratch) / "tools"
        tools.mkdir()
        os.chmod(scratch, 0o755)
        box = sandbox(options.recorder, options.shell, tools)
        # The script itself must be readable for the account in the sandbox.
        mine = pathlib.Path(scratch) / "self.py"
        shutil.copy(__file__, mine)
        box[box.index(os.path.abspath(__file__))] = str(mine)
        run = subprocess.run(box, input=rows, capture_output=True, text=True, cwd="/")
    if run.returncode != 0:
        print(f"skipped: the sandbox does not start: {run.stderr.strip()[-300:]}")
        return 77
    wrong, judged, ran = differences(lines, [json.loads(row) for row in parsed.stdout.splitlines()],
                                     [json.loads(row) for row in run.stdout.splitlines()])
    for line, record, named in wrong[:20]:
        print(f"line {line!r}\n  ran   {record}\n  named {named}")
    print(f"{len(lines)} lines, {judged} understood in full, {ran} programs ran in those, {len(wrong)} differences (seed {options.seed})")
    return 1 if wrong or judged < len(lines) // 10 or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
