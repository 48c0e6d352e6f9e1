#include "codec/digest.hpp"

// The EVP interface would bring every algorithm of the library into a static program.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <array>

namespace substrate {

std::string sha256_hex(std::string_view bytes) {
    SHA256_CTX context;
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256_Init(&context);
    SHA256_Update(&context, bytes.data(), bytes.size());
    SHA256_Final(digest.data(), &context);
    std::string text;
    text.reserve(2 * digest.size());
    for (const unsigned char byte : digest) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

}  // namespace substrate
