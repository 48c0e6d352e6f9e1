#include "policy/host_name.hpp"

#include <idn2.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/text.hpp"

namespace substrate::policy {
namespace {

constexpr std::size_t kLongestName = 253;  // RFC 1035, without the dot at the end
constexpr std::size_t kLongestLabel = 63;

std::unexpected<Error> refused(std::string_view text, std::string_view why) {
    return fail(
        {Errc::invalid, "'" + printable(text.substr(0, 300)) + "' names no host: " + std::string(why)});
}

bool is_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// What inet_aton(3) and URL parsers read as (part of) an address.
bool is_number(std::string_view label) {
    if (label.starts_with("0x")) label.remove_prefix(2);
    else return std::ranges::all_of(label, [](char c) { return c >= '0' && c <= '9'; });
    return std::ranges::all_of(label,
                               [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<> check_label(std::string_view name, std::string_view label) {
    if (label.empty()) return refused(name, "a label is empty");
    if (label.size() > kLongestLabel) return refused(name, "a label is longer than 63 bytes");
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (!std::ranges::all_of(label, allowed)) return refused(name, "a character that no name has");
    return {};
}

// With the characters of other scripts as A-labels, checked where they are written as such.
Result<std::string> to_ascii(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (is_ascii(lower) && lower.find("xn--") == std::string::npos) return lower;
    if (lower.find('\0') != std::string::npos) return refused(text, "a NUL byte");
    char* made = nullptr;
    const int code = idn2_to_ascii_8z(lower.c_str(), &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    const std::unique_ptr<char, decltype(&idn2_free)> owner(made, &idn2_free);
    if (code != IDN2_OK) return refused(text, idn2_strerror(code));
    return std::string(made);
}

}  // namespace

Result<Host> read_host(std::string_view text) {
    if (text.starts_with('[')) {
        const bool ends = text.size() > 2 && text.ends_with(']');
        const auto address = ends ? IpAddress::parse(text.substr(1, text.size() - 2)) : std::nullopt;
        if (!address || text.find(':') == std::string_view::npos)
            return refused(text, "no IPv6 address in brackets");
        return Host(*address);
    }
    if (const auto address = IpAddress::parse(text)) return Host(*address);
    if (text.find(':') != std::string_view::npos) return refused(text, "no IPv6 address");
    SUB_TRY_ASSIGN(std::string name, to_ascii(text));
    if (name.ends_with('.')) name.pop_back();
    if (name.empty()) return refused(text, "it is empty");
    if (name.size() > kLongestName) return refused(text, "it is longer than 253 bytes");
    std::string_view rest = name, last;
    for (;;) {
        const std::size_t dot = rest.find('.');
        last = rest.substr(0, dot);
        SUB_TRY(check_label(text, last));
        if (dot == std::string_view::npos) break;
        rest.remove_prefix(dot + 1);
    }
    if (is_number(last)) return refused(text, "it could be read as an address, and is none");
    return Host(DomainName{std::move(name)});
}

std::string to_text(const Host& host) {
    if (const auto* name = std::get_if<DomainName>(&host)) return name->text;
    return std::get<IpAddress>(host).text();
}

Result<HostPort> read_host_port(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const auto without_port = [&] {
        return fail(Error(Errc::invalid, "'" + printable(text) + "' has no port").hint("write HOST:PORT"));
    };
    if (colon == std::string_view::npos) return without_port();
    const std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
    // Of an address of version 6 without brackets, the end would be taken for a port.
    if (host.find(':') != std::string_view::npos && !host.starts_with('[')) return without_port();
    HostPort read;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), read.port);
    if (error != std::errc() || end != port.data() + port.size() || read.port == 0)
        return fail({Errc::invalid, "'" + printable(port) + "' is no port: 1 to 65535"});
    SUB_TRY_ASSIGN(read.host, read_host(host));
    return read;
}

bool is_below(std::string_view name, std::string_view domain) {
    return name.size() > domain.size() + 1 && name.ends_with(domain) &&
           name[name.size() - domain.size() - 1] == '.';
}

}  // namespace substrate::policy
