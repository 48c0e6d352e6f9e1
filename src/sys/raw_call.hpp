#pragma once

#include <sys/syscall.h>

// System calls without the C library: for code that runs where it has not been set up, or
// where its locks and buffers belong to another process.
namespace substrate::sys {

// syscall(2) in registers. The result is what the kernel returns: -errno on failure.
// Touches no memory of its own, no errno and no thread-local storage.
[[gnu::always_inline]] inline long raw_call(long number, long a = 0, long b = 0, long c = 0, long d = 0,
                                            long e = 0) noexcept {
#if defined(__x86_64__)
    long result = 0;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "raw_call knows x86_64 and aarch64"
#endif
}

[[gnu::always_inline]] inline long as_long(const void* pointer) noexcept {
    return reinterpret_cast<long>(pointer);
}

}  // namespace substrate::sys
