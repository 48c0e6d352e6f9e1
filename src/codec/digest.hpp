#pragma once

#include <string>
#include <string_view>

namespace substrate {

// SHA-256 (FIPS 180-4) of `bytes` as 64 lower-case hexadecimal digits. For what is
// believed by its hash; xxhash is for what is only compared.
std::string sha256_hex(std::string_view bytes);
// HMAC-SHA-256 (RFC 2104) of `bytes` under `key`, in the same form.
std::string hmac_sha256_hex(std::string_view key, std::string_view bytes);
// Whether two secrets are the same and not empty; takes the same time wherever they differ.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace substrate
