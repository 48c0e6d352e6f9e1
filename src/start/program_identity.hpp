#pragma once

#include <sys/stat.h>

namespace substrate::start {

// "stat:" and 16 hexadecimal digits.
inline constexpr unsigned kIdentitySize = 21;

// Tells one build of a program file from another without reading it: inode, size and time
// of its last change. Writes kIdentitySize bytes, without an end mark.
void write_identity(const struct ::stat& program, char* out);

// The file `name` beside the running program, else in the libexec directory next to it.
// Writes its path, ended by NUL, where it is executable; false where there is none or
// `size` bytes do not hold it.
bool find_sibling(const char* name, char* path, unsigned size);

}  // namespace substrate::start
