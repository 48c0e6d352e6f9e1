#pragma once

// What every payload shares. A payload commits one sin and says by its exit code how
// that went; it never leaves anything behind on a host whose layers fail: it opens
// settings for writing without writing, and takes back what it could make.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    kRefused = 0,     // the attack was refused
    kSucceeded = 66,  // the attack succeeded
    kNotHere = 77,    // cannot be tried on this machine, as the output says
    kBroken = 99,     // the payload itself is wrong
};

__attribute__((noreturn)) static inline void refused(const char* what) {
    printf("refused: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(kRefused);
}
__attribute__((noreturn)) static inline void succeeded(const char* what) {
    printf("SUCCEEDED: %s\n", what);
    fflush(stdout);
    _exit(kSucceeded);
}
__attribute__((noreturn)) static inline void not_here(const char* why) {
    printf("not here: %s: %s\n", why, strerror(errno));
    fflush(stdout);
    _exit(kNotHere);
}
__attribute__((noreturn)) static inline void broken(const char* why) {
    printf("broken payload: %s: %s\n", why, strerror(errno));
    fflush(stdout);
    _exit(kBroken);
}
// Of a call that answers -1 when it is refused.
__attribute__((noreturn)) static inline void judge(long result, const char* what) {
    if (result < 0) refused(what);
    succeeded(what);
}
// Aimed at process 1 or at everything: only ever where a harness says that it is a world.
__attribute__((constructor)) static void only_in_worlds(void) {
    if (getenv("SUBSTRATE_WORLD_ID") == NULL) broken("run outside of a world");
}
static inline int is(const char* word, const char* name) { return strcmp(word, name) == 0; }
