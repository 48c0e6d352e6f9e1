#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "egress/name_refresh.hpp"
#include "policy/net_access.hpp"
#include "sys/nft.hpp"

namespace substrate::egress {

// What governs one world's connections: the `net` of every policy that holds for it. Travels from the
// supervisor as JSON: {"layers": [{"policy", "allowed": [] or null, "denied": []}], "presets":
// [{"name", "hosts": [{"entry", "source"}]}], "total_bytes", "command_bytes", "bytes_per_sec",
// "dns_pinned", "dns_refresh_secs"}.
class AccessRules {
  public:
    static Result<AccessRules> read(std::string_view json);
    static std::string write(const std::vector<Policy>& layers, const policy::PresetHosts& presets);

    // All layers must agree; what the first says that does not, or the last.
    policy::NetVerdict decide(const policy::Host& host, std::uint16_t port) const;
    policy::NetVerdict decide_resolved(const policy::DomainName& name, const IpAddress& address,
                                       std::uint16_t port) const;
    // Whether some port of the name may be reached: then it is worth an address.
    policy::NetVerdict decide_name(const policy::DomainName& name) const;
    // Whether a name may lead there at all, whatever the port.
    bool may_lead_to(const IpAddress& address) const;
    // Nothing can be reached by them.
    bool closed() const;
    // Entries that are not understood, as sentences.
    std::vector<std::string> problems() const;
    // Networks of which an address may be tried, for the kernel's filter.
    std::vector<IpNetwork> networks() const;
    // What the kernel can hold of them (sys/nft.hpp): addresses that may be connected to without a name…
    std::vector<sys::NftRange> open_ranges(bool ipv6) const;
    // …and those ports of an address to which this name leads.
    struct Ports {
        std::uint16_t first = 1, last = 0xffff;
        bool operator==(const Ports&) const = default;
    };
    std::vector<Ports> open_ports(const policy::DomainName& name, const IpAddress& address) const;
    // Both directions together; 0: no limit.
    std::uint64_t total_bytes() const { return total_bytes_; }
    std::uint64_t command_bytes() const { return command_bytes_; }  // of each command, the same
    std::uint64_t bytes_per_sec() const { return bytes_per_sec_; }
    NameRefresh name_refresh() const { return refresh_; }

  private:
    template <class Allows>
    std::vector<Ports> ports_where(Allows allows) const;

    std::vector<policy::NetAccess> layers_;
    std::vector<std::uint16_t> port_bounds_;  // where a range of ports begins that is decided alike
    std::uint64_t total_bytes_ = 0, command_bytes_ = 0, bytes_per_sec_ = 0;
    NameRefresh refresh_;
};

}  // namespace substrate::egress
