#include "egress/client_hello.hpp"

#include <algorithm>
#include <optional>

namespace substrate::egress {
namespace {

constexpr std::uint8_t kHandshakeRecord = 22, kClientHello = 1, kHostName = 0;
constexpr std::uint8_t kFirstRecord = 20, kLastRecord = 24;  // RFC 8446 section 5.1, RFC 6520
constexpr std::uint16_t kServerName = 0, kEncryptedClientHello = 0xfe0d;
constexpr std::size_t kRecordHeader = 5, kHandshakeHeader = 4, kRandom = 32;
constexpr std::size_t kLongestRecord = 16 * 1024;

// Takes numbers and vectors off the front; once it fails, it stays failed.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}
    std::uint32_t number(std::size_t size) {
        std::uint32_t value = 0;
        for (const char c : take(size)) value = value << 8 | static_cast<std::uint8_t>(c);
        return value;
    }
    std::string_view take(std::size_t size) {
        if (size > rest_.size()) {
            failed_ = true;
            rest_ = {};
            return {};
        }
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    // With its length in front, of `size` bytes.
    std::string_view vector(std::size_t size) { return take(number(size)); }
    bool failed() const { return failed_; }
    bool empty() const { return rest_.empty(); }

  private:
    std::string_view rest_;
    bool failed_ = false;
};

ClientHello bad(std::string problem) {
    return {.reading = Reading::bad, .server_name = {}, .problem = std::move(problem)};
}

// The handshake messages of the records, without their headers; nullopt where a record is none.
struct Handshake {
    std::string bytes;
    bool broken = false;
};
Handshake handshake_in(std::string_view records) {
    Handshake joined;
    while (records.size() >= kRecordHeader) {
        Reader head(records);
        const std::uint32_t type = head.number(1), version = head.number(2), length = head.number(2);
        if (type != kHandshakeRecord || version >> 8 != 3 || length == 0 || length > kLongestRecord) {
            joined.broken = true;
            return joined;
        }
        records.remove_prefix(kRecordHeader);
        joined.bytes += records.substr(0, length);
        if (records.size() <= length) break;
        records.remove_prefix(length);
        // What comes behind the hello is none of ours.
        if (joined.bytes.size() >= kHandshakeHeader) {
            Reader message(joined.bytes);
            message.number(1);
            if (joined.bytes.size() >= kHandshakeHeader + message.number(3)) break;
        }
    }
    return joined;
}

// False where the extension is broken or names several.
bool read_server_name(std::string_view extension, std::string& name) {
    Reader outer(extension);
    Reader list(outer.vector(2));
    if (outer.failed() || !outer.empty() || list.empty()) return false;
    while (!list.empty()) {
        const std::uint32_t type = list.number(1);
        const std::string_view value = list.vector(2);
        if (list.failed() || type != kHostName || value.empty() || !name.empty()) return false;
        name = value;
    }
    return true;
}

ClientHello read_body(std::string_view body) {
    ClientHello hello{.reading = Reading::done, .server_name = {}, .problem = {}};
    Reader reader(body);
    reader.take(2);  // legacy_version
    reader.take(kRandom);
    reader.vector(1);  // legacy_session_id
    reader.vector(2);  // cipher_suites
    reader.vector(1);  // legacy_compression_methods
    if (reader.failed()) return bad("a ClientHello that ends too early");
    if (reader.empty()) return hello;  // before extensions were thought of
    Reader extensions(reader.vector(2));
    if (reader.failed() || !reader.empty()) return bad("a ClientHello with something behind it");
    bool named = false;
    while (!extensions.empty()) {
        const std::uint32_t type = extensions.number(2);
        const std::string_view value = extensions.vector(2);
        if (extensions.failed()) return bad("an extension that ends too early");
        if (type == kEncryptedClientHello) hello.encrypted = true;
        if (type != kServerName) continue;
        if (named || !read_server_name(value, hello.server_name)) return bad("no single server name");
        named = true;
    }
    return hello;
}

// What does not begin with a handshake record. Servers read past other records, and take the hello of SSL 2.
std::optional<ClientHello> before_handshake(std::string_view bytes) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); };
    ClientHello other{.reading = Reading::other, .server_name = {}, .problem = {}};
    if (bytes.empty()) return ClientHello{};
    if ((byte(0) & 0x80) != 0) {
        const bool might_be =
            (bytes.size() < 3 || byte(2) == kClientHello) && (bytes.size() < 4 || byte(3) == 3);
        if (!might_be) return other;
        return bytes.size() < 4 ? ClientHello{} : bad("a hello of SSL 2, which says nobody's name");
    }
    if (byte(0) < kFirstRecord || byte(0) > kLastRecord || (bytes.size() > 1 && byte(1) != 3)) return other;
    if (bytes.size() == 1) return ClientHello{};
    if (byte(0) != kHandshakeRecord) return bad("TLS that does not begin with a ClientHello");
    return std::nullopt;
}

}  // namespace

ClientHello read_client_hello(std::string_view bytes) {
    if (const auto early = before_handshake(bytes)) return *early;
    const Handshake handshake = handshake_in(bytes.substr(0, kLongestHello + kRecordHeader));
    if (handshake.broken) return bad("a broken TLS record");
    const bool too_long = bytes.size() > kLongestHello;
    if (handshake.bytes.size() < kHandshakeHeader)
        return too_long ? bad("a hello without an end") : ClientHello{};
    Reader message(handshake.bytes);
    if (message.number(1) != kClientHello) return bad("a handshake that begins with no ClientHello");
    const std::uint32_t length = message.number(3);
    if (length > kLongestHello) return bad("a ClientHello of more than 64 KiB");
    const std::string_view body = message.take(length);
    if (message.failed()) return too_long ? bad("a hello without an end") : ClientHello{};
    return read_body(body);
}

}  // namespace substrate::egress
