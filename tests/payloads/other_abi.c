// System calls by another architecture's numbers, which a filter may not know:
// other_abi VARIANT.

#include <setjmp.h>
#include <signal.h>

#include "payload.h"

#ifdef __x86_64__
static sigjmp_buf before;
static void come_back(int number) {
    (void)number;
    siglongjmp(before, 1);
}

static long by_interrupt(long number, long first) {
    long result = -ENOSYS;
    signal(SIGSEGV, come_back);  // a kernel without 32-bit calls
    if (sigsetjmp(before, 1) == 0)
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(number), "b"(first)
                         : "memory", "r8", "r9", "r10", "r11");
    // Failures come as 32-bit numbers.
    if ((int)result < 0) {
        errno = -(int)result;
        return -1;
    }
    return result;
}
#endif

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
#ifdef __x86_64__
    // getpid(2) and unshare(2) of 32-bit x86.
    if (is(argv[1], "int80")) judge(by_interrupt(20, 0), "a 32-bit call");
    if (is(argv[1], "int80_unshare")) judge(by_interrupt(310, 0x10000000), "a 32-bit unshare");
    if (is(argv[1], "x32")) judge(syscall(0x40000000 | SYS_getpid), "an x32 call");
    if (is(argv[1], "x32_unshare")) judge(syscall(0x40000000 | SYS_unshare, 0x10000000), "an x32 unshare");
    broken("unknown variant");
#else
    not_here("for x86-64");
#endif
}
