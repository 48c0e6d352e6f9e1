// The kernel's keys, which no namespace but the user's separates: keyrings VARIANT.

#include <linux/keyctl.h>

#include "payload.h"

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* variant = argv[1];
    // In the ring of this process, which goes with it.
    if (is(variant, "add_key"))
        judge(syscall(SYS_add_key, "user", "substrate-payload", "x", 1, KEY_SPEC_PROCESS_KEYRING), "add_key");
    // No information for a helper: the kernel starts none.
    if (is(variant, "request_key")) {
        const long result = syscall(SYS_request_key, "user", "substrate-payload-no-such", NULL, 0);
        judge(result < 0 && errno == ENOKEY ? 0 : result, "request_key");
    }
    if (is(variant, "session"))
        judge(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), "the session's keys");
    if (is(variant, "user"))
        judge(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0), "the user's keys");
    if (is(variant, "join"))
        judge(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "a session of keys");
    broken("unknown variant");
}
