#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ip_address.hpp"
#include "base/result.hpp"

namespace substrate::egress {

enum class DnsType : std::uint8_t { address4, address6, alias, pointer, service, other };

// One query of a program in a world, and the answers to it. Pure; the messages are ldns's.
class DnsQuery {
  public:
    // Errc::invalid for what is no query that can be answered; format_error() may do all the same.
    static Result<DnsQuery> parse(std::string_view message);
    // What is said to a message that parse() refuses; empty where it has not even a header.
    static std::string format_error(std::string_view message);
    DnsQuery(DnsQuery&&) noexcept;
    DnsQuery& operator=(DnsQuery&&) noexcept;
    ~DnsQuery();

    // In presentation form: characters that no host name has are escaped.
    const std::string& name() const { return name_; }
    DnsType type() const { return type_; }
    const std::string& type_text() const { return type_text_; }  // "A", "TXT", …

    std::string refused() const;
    std::string failed() const;        // SERVFAIL: it may be asked again
    std::string no_such_name() const;  // NXDOMAIN
    std::string no_data() const;       // the name exists, and has nothing of this type
    // Of the kind that was asked for.
    std::string addresses(std::span<const IpAddress> all, std::uint32_t ttl_secs) const;
    std::string pointer(const std::string& to, std::uint32_t ttl_secs) const;

  private:
    struct Message;
    explicit DnsQuery(std::unique_ptr<Message> message);
    std::unique_ptr<Message> message_;
    std::string name_;
    DnsType type_ = DnsType::other;
    std::string type_text_;
};

// Of "4.3.18.198.in-addr.arpa." the address; nullopt for every other name.
std::optional<IpAddress> reverse_address(std::string_view name);

// Of "_8443._https.a.test." the host, "a.test.": without the labels that begin with an underscore.
std::string_view served_host(std::string_view name);

}  // namespace substrate::egress
