#!/usr/bin/env bash
# run_example.sh BIN: the main job from start to end, on a real project. Makes a C
# program under git in a temporary directory, builds it in a world, shows the span
# and what changed, and replays it. BIN holds the programs. Leaves nothing behind.
set -euo pipefail

bin=$(cd "$1" && pwd)
[[ -x $bin/substrate ]] || {
    echo "run: there is no $bin/substrate" >&2
    exit 1
}
PATH=$bin:$PATH

scratch=$(mktemp -d)
# A state directory of its own: the person's worlds and trace stay untouched.
export SUBSTRATE_HOME=$scratch/state
project=$scratch/tally
# Standard output of the steps must not look different because of a setting of the caller.
unset MAKEFLAGS MAKELEVEL MFLAGS

# The background agent that the first command started knows our state directory;
# nothing else can, so its environment tells it apart from the person's own.
stop_agent() {
    local environment pid signal
    for signal in TERM KILL; do
        local -a running=()
        for environment in /proc/[0-9]*/environ; do
            pid=${environment#/proc/}
            pid=${pid%/environ}
            if grep -qzxF "SUBSTRATE_HOME=$SUBSTRATE_HOME" "$environment" 2>/dev/null &&
                [[ $(readlink "/proc/$pid/exe") == "$bin"/* ]]; then
                running+=("$pid")
            fi
        done
        ((${#running[@]})) || return 0
        kill -"$signal" "${running[@]}" 2>/dev/null || true
        for _ in {1..30}; do
            kill -0 "${running[@]}" 2>/dev/null || break
            sleep 0.1
        done
    done
}

clean_up() {
    stop_agent
    # An overlay leaves a work directory without any permission bits.
    chmod -R u+rwX "$scratch" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_project() {
    mkdir -p "$project"
    cat >"$project/tally.h" <<'C'
#ifndef TALLY_H
#define TALLY_H
#include <stdio.h>

struct tally {
    unsigned long lines, words, bytes;
};

struct tally tally_stream(FILE *in);
void report(const char *name, const struct tally *t);
#endif
C
    cat >"$project/tally.c" <<'C'
#include "tally.h"

#include <ctype.h>

struct tally tally_stream(FILE *in) {
    struct tally t = {0, 0, 0};
    int c, in_word = 0;
    while ((c = getc(in)) != EOF) {
        t.bytes++;
        if (c == '\n') t.lines++;
        if (isspace(c)) in_word = 0;
        else if (!in_word) in_word = 1, t.words++;
    }
    return t;
}
C
    cat >"$project/report.c" <<'C'
#include "tally.h"

void report(const char *name, const struct tally *t) {
    printf("%s: %lu lines, %lu words, %lu bytes\n", name, t->lines, t->words, t->bytes);
}
C
    cat >"$project/main.c" <<'C'
#include "tally.h"

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *in = fopen(argv[i], "r");
        if (!in) return perror(argv[i]), 1;
        struct tally t = tally_stream(in);
        fclose(in);
        report(argv[i], &t);
    }
    return 0;
}
C
    cat >"$project/Makefile" <<'MAKE'
CC = gcc
CFLAGS = -O2 -Wall
objects = main.o tally.o report.o

tally: $(objects)
	$(CC) $(CFLAGS) -o $@ $(objects)

$(objects): tally.h

clean:
	rm -f tally $(objects)

.PHONY: clean
MAKE
    printf '%s\n' 'tally' '*.o' >"$project/.gitignore"
    cd "$project"
    git init -q .
    git add .
    git -c user.name='Substrate example' -c user.email='example@example.invalid' -c commit.gpgsign=false \
        commit -q -m 'Count lines, words and bytes'
}

# Shows a command as one would type it, then runs it.
show() {
    local word line=
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./=:,-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+=" $word"
    done
    printf '\n$%s\n' "$line"
    "$@" || {
        local code=$?
        printf 'run: this step failed with exit code %d\n' "$code" >&2
        exit "$code"
    }
}

# The id of the newest span.
last_span() {
    local record
    record=$(substrate trace --last --json) || return
    grep -oE '"span_id"[[:space:]]*:[[:space:]]*"spn_[0-9a-f-]+"' <<<"$record" | head -n 1 | grep -oE 'spn_[0-9a-f-]+'
}

make_project
printf 'A C project under git, in %s:\n' "$project"
git ls-files
show substrate -c 'make -j2'
span=$(last_span) || {
    echo 'run: the trace names no span' >&2
    exit 1
}
show substrate trace "$span"
show substrate diff "$span"
show substrate -c './tally main.c tally.c'
# Back to what the recording saw, so that the replay has the same work to do.
show substrate -c 'make clean'
show substrate replay "$span" --verbose
printf '\nrun: all steps succeeded\n'
