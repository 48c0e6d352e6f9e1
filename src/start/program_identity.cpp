#include "start/program_identity.hpp"

#include <fcntl.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <initializer_list>

#include "sys/raw_call.hpp"

namespace substrate::start {

using sys::as_long;
using sys::raw_call;

void write_identity(const struct ::stat& program, char* out) {
    const std::uint64_t words[] = {static_cast<std::uint64_t>(program.st_ino),
                                   static_cast<std::uint64_t>(program.st_size),
                                   static_cast<std::uint64_t>(program.st_mtim.tv_sec),
                                   static_cast<std::uint64_t>(program.st_mtim.tv_nsec)};
    const std::uint64_t hash = XXH3_64bits(words, sizeof words);
    for (const char c : {'s', 't', 'a', 't', ':'}) *out++ = c;
    for (int shift = 60; shift >= 0; shift -= 4) {
        const unsigned digit = (hash >> shift) & 15;
        *out++ = static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
}

bool find_sibling(const char* name, char* path, unsigned size) {
    const long length = raw_call(SYS_readlinkat, AT_FDCWD, as_long("/proc/self/exe"), as_long(path), size);
    if (length <= 0) return false;
    unsigned directory = static_cast<unsigned>(length);
    while (directory > 0 && path[directory - 1] != '/') --directory;
    for (const char* place : {"", "../libexec/substrate/"}) {
        unsigned at = directory;
        for (const char* part : {place, name})
            for (; *part != '\0'; ++part, ++at) {
                if (at + 1 >= size) return false;
                path[at] = *part;
            }
        path[at] = '\0';
        if (raw_call(SYS_faccessat, AT_FDCWD, as_long(path), X_OK) == 0) return true;
    }
    return false;
}

}  // namespace substrate::start
