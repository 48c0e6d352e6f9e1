#include "base/ip_address.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace substrate {
namespace {

std::optional<std::uint32_t> number(std::string_view text, int base, std::size_t most_digits) {
    std::uint32_t value = 0;
    if (text.empty() || text.size() > most_digits) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<std::uint32_t> parse_v4(std::string_view text) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
        const std::size_t dot = text.find('.');
        if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
        const std::string_view part = text.substr(0, dot);
        const auto byte = number(part, 10, 3);
        // A leading zero is octal to some readers.
        if (!byte || *byte > 255 || (part.size() > 1 && part.front() == '0')) return std::nullopt;
        value = value << 8 | *byte;
        if (i < 3) text.remove_prefix(dot + 1);
    }
    return value;
}

// The groups of one side of "::". At the end of the address two of them may be written as IPv4.
std::optional<std::size_t> parse_groups(std::string_view text, bool at_end,
                                        std::array<std::uint16_t, 8>& groups) {
    std::size_t count = 0;
    if (text.empty()) return 0;
    for (;;) {
        const std::size_t colon = text.find(':');
        const std::string_view part = text.substr(0, colon);
        const bool last = colon == std::string_view::npos;
        if (last && at_end && part.find('.') != std::string_view::npos) {
            const auto v4 = parse_v4(part);
            if (!v4 || count > 6) return std::nullopt;
            groups[count++] = static_cast<std::uint16_t>(*v4 >> 16);
            groups[count++] = static_cast<std::uint16_t>(*v4);
            return count;
        }
        const auto group = number(part, 16, 4);
        if (!group || count == groups.size()) return std::nullopt;
        groups[count++] = static_cast<std::uint16_t>(*group);
        if (last) return count;
        text.remove_prefix(colon + 1);
    }
}

std::optional<std::array<std::uint8_t, 16>> parse_v6(std::string_view text) {
    std::array<std::uint16_t, 8> groups{}, tail{};
    const std::size_t gap = text.find("::");
    const bool whole = gap == std::string_view::npos;
    const auto before = parse_groups(text.substr(0, gap), whole, groups);
    if (!before) return std::nullopt;
    if (whole) {
        if (*before != groups.size()) return std::nullopt;
    } else {
        const auto after = parse_groups(text.substr(gap + 2), /*at_end=*/true, tail);
        // "::" stands for one group at least.
        if (!after || *before + *after >= groups.size()) return std::nullopt;
        std::copy_n(tail.begin(), *after, groups.end() - static_cast<std::ptrdiff_t>(*after));
    }
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < groups.size(); ++i) {
        bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
        bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i]);
    }
    return bytes;
}

struct Purpose {
    std::string_view network;
    std::string_view name;
};

constexpr Purpose kPurposes[] = {
    {"0.0.0.0/8", "unspecified"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "shared"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "protocol assignment"},
    {"192.0.2.0/24", "documentation"},
    {"192.88.99.0/24", "6to4 relay"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "benchmarking"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"::/128", "unspecified"},
    {"::1/128", "loopback"},
    {"64:ff9b::/96", "IPv4 translation"},
    {"64:ff9b:1::/48", "IPv4 translation"},
    {"100::/64", "discard"},
    {"2001::/23", "protocol assignment"},
    {"2001:db8::/32", "documentation"},
    {"2002::/16", "6to4"},
    {"3fff::/20", "documentation"},
    {"5f00::/16", "segment routing"},
    {"fc00::/7", "private"},
    {"fe80::/10", "link-local"},
    {"fec0::/10", "site-local"},
    {"ff00::/8", "multicast"},
    // Reachable addresses begin with 001 so far; the rest is not assigned.
    {"::/3", "reserved"},
    {"4000::/2", "reserved"},
    {"8000::/1", "reserved"},
};

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
    IpAddress address;
    for (int i = 0; i < 4; ++i)
        address.bytes_[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
    constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    IpAddress address;
    if (std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) {
        std::copy(bytes.begin() + 12, bytes.end(), address.bytes_.begin());
        return address;
    }
    address.bytes_ = bytes;
    address.bits_ = 128;
    return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.find(':') == std::string_view::npos) {
        const auto value = parse_v4(text);
        return value ? std::optional(v4(*value)) : std::nullopt;
    }
    const auto bytes = parse_v6(text);
    return bytes ? std::optional(v6(*bytes)) : std::nullopt;
}

std::uint32_t IpAddress::v4_value() const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes_[i];
    return value;
}

std::string IpAddress::text() const {
    std::string text;
    if (is_v4()) {
        for (std::size_t i = 0; i < 4; ++i) text += (i == 0 ? "" : ".") + std::to_string(bytes_[i]);
        return text;
    }
    std::array<std::uint16_t, 8> groups{};
    for (std::size_t i = 0; i < groups.size(); ++i)
        groups[i] = static_cast<std::uint16_t>(bytes_[2 * i] << 8 | bytes_[2 * i + 1]);
    // The longest run of zero groups, the first of equal ones, two at least.
    std::size_t gap = groups.size(), length = 1;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        std::size_t run = 0;
        while (i + run < groups.size() && groups[i + run] == 0) ++run;
        if (run > length) gap = i, length = run;
    }
    for (std::size_t i = 0; i < groups.size();) {
        if (i == gap) {
            text += "::";
            i += length;
            continue;
        }
        if (!text.empty() && text.back() != ':') text += ':';
        std::array<char, 5> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), groups[i], 16).ptr;
        text.append(digits.data(), end);
        ++i;
    }
    return text;
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) return std::nullopt;
    IpNetwork network{*address, address->bits()};
    if (slash == std::string_view::npos) return network;
    const std::string_view length = text.substr(slash + 1);
    const auto prefix = number(length, 10, 3);
    if (!prefix || (length.size() > 1 && length.front() == '0')) return std::nullopt;
    int bits = static_cast<int>(*prefix);
    // A mapped prefix counts its bits from the beginning of the IPv6 address.
    if (address->is_v4() && text.substr(0, slash).find(':') != std::string_view::npos) bits -= 96;
    if (bits < 0 || bits > address->bits()) return std::nullopt;
    network.prefix = bits;
    for (int bit = bits; bit < address->bits(); ++bit)
        if ((address->bytes()[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
    return network;
}

bool IpNetwork::contains(const IpAddress& address) const {
    if (address.bits() != first.bits()) return false;
    const auto whole = static_cast<std::size_t>(prefix / 8);
    if (!std::equal(first.bytes(), first.bytes() + whole, address.bytes())) return false;
    const int rest = prefix % 8;
    return rest == 0 || (first.bytes()[whole] ^ address.bytes()[whole]) >> (8 - rest) == 0;
}

std::string IpNetwork::text() const { return first.text() + "/" + std::to_string(prefix); }

std::optional<IpAddress> IpAddress::next() const {
    IpAddress following = *this;
    for (auto at = static_cast<std::size_t>(bits_ / 8); at-- > 0;)
        if (++following.bytes_[at] != 0) return following;
    return std::nullopt;
}

IpAddress IpNetwork::last() const {
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(first.bytes(), first.bits() / 8, bytes.begin());
    for (int bit = prefix; bit < first.bits(); ++bit)
        bytes[static_cast<std::size_t>(bit / 8)] |= static_cast<std::uint8_t>(0x80 >> (bit % 8));
    if (!first.is_v4()) return IpAddress::v6(bytes);
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[i];
    return IpAddress::v4(value);
}

std::vector<IpNetwork> special_networks() {
    std::vector<IpNetwork> networks;
    for (const Purpose& purpose : kPurposes) networks.push_back(*IpNetwork::parse(purpose.network));
    return networks;
}

std::string_view special_purpose(const IpAddress& address) {
    static const auto networks = [] {
        std::array<IpNetwork, std::size(kPurposes)> made;
        std::ranges::transform(kPurposes, made.begin(),
                               [](const Purpose& purpose) { return *IpNetwork::parse(purpose.network); });
        return made;
    }();
    for (std::size_t i = 0; i < networks.size(); ++i)
        if (networks[i].contains(address)) return kPurposes[i].name;
    return {};
}

}  // namespace substrate
