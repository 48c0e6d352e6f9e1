#include "codec/digest.hpp"

// The EVP interface would bring every algorithm of the library into a static program.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <array>

namespace substrate {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest sha256(std::string_view one, std::string_view two = {}) {
    SHA256_CTX context;
    Digest digest{};
    SHA256_Init(&context);
    SHA256_Update(&context, one.data(), one.size());
    SHA256_Update(&context, two.data(), two.size());
    SHA256_Final(digest.data(), &context);
    return digest;
}

std::string_view view(const Digest& digest) {
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string hex(const Digest& digest) {
    std::string text;
    text.reserve(2 * digest.size());
    for (const unsigned char byte : digest) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) { return hex(sha256(bytes)); }

std::string hmac_sha256_hex(std::string_view key, std::string_view bytes) {
    std::string block(key);
    if (key.size() > SHA256_CBLOCK) block = view(sha256(key));
    block.resize(SHA256_CBLOCK, '\0');
    std::string inner = block, outer = block;
    for (char& c : inner) c = static_cast<char>(c ^ 0x36);
    for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
    const Digest digest = sha256(inner, bytes);
    return hex(sha256(outer, view(digest)));
}

bool same_secret(std::string_view a, std::string_view b) {
    if (a.size() != b.size() || a.empty()) return false;
    unsigned char differs = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        differs = static_cast<unsigned char>(
            differs | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
    return differs == 0;
}

}  // namespace substrate
