#pragma once

#include <string>
#include <string_view>

namespace substrate {

// SHA-256 (FIPS 180-4) of `bytes` as 64 lower-case hexadecimal digits. For what is
// believed by its hash; xxhash is for what is only compared.
std::string sha256_hex(std::string_view bytes);

}  // namespace substrate
