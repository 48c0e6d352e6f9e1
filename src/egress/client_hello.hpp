#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace substrate::egress {

// What the first bytes of a connection turned out to be.
enum class Reading : std::uint8_t {
    more,   // too few bytes to say
    done,   // read
    other,  // something else
    bad,    // it begins so, and is broken
};

// The part of a TLS ClientHello (RFC 8446 section 4.1.2) that says whom the client wants.
struct ClientHello {
    Reading reading = Reading::more;
    std::string server_name;  // RFC 6066, as sent; empty: none
    // A second, hidden hello lies inside (the encrypted_client_hello extension).
    bool encrypted = false;
    std::string problem;  // for Reading::bad
};

inline constexpr std::size_t kLongestHello = 64 * 1024;

// Reads it from the beginning of a connection, over as many records as it takes. Pure.
ClientHello read_client_hello(std::string_view bytes);

}  // namespace substrate::egress
