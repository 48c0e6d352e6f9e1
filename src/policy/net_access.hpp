#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/policy.hpp"
#include "policy/host_name.hpp"

namespace substrate::policy {

// May this host be connected to, and which rule says so.
struct NetVerdict {
    bool allowed = false;
    std::string rule;     // "net.allowed[1]"; empty where no rule spoke
    std::string pattern;  // as written
    std::string policy_id;
    std::string reason;  // one clause; empty for what is allowed
    std::string source;  // of a preset: the file of settings that names the host
    bool operator==(const NetVerdict&) const = default;
};

inline constexpr std::string_view kPreset = "preset:";
// The hosts that `preset:NAME` stands for, as entries of `net.allowed`: read from the settings of
// the tool on this machine by who calls.
struct PresetHost {
    std::string entry;   // "HOST:PORT"
    std::string source;  // the file that names it
    bool operator==(const PresetHost&) const = default;
};
using PresetHosts = std::map<std::string, std::vector<PresetHost>>;

// What one policy's `net` lets a world reach. An entry is "*", a name, "*.NAME" for the names below
// it (not itself), an address or a network in CIDR notation, each with ":PORT" behind it or for every port
// ("[ADDRESS]:PORT" for version 6); or "preset:NAME". An entry that cannot be read opens nothing in
// `allowed`; in `denied` it closes everything. Pure; decisions do not take longer with more names.
class NetAccess {
  public:
    NetAccess(const Policy& policy, const PresetHosts& presets);
    NetAccess(NetAccess&&) noexcept;
    NetAccess& operator=(NetAccess&&) noexcept;
    ~NetAccess();

    // Whether the policy says anything at all about what may be reached.
    bool says_something() const;
    // Nothing can be reached.
    bool closed() const;
    NetVerdict decide(const Host& host, std::uint16_t port) const;
    // Whether there is a port on which it may be connected to.
    NetVerdict decide_any_port(const DomainName& name) const;
    // Whether a name that may be reached may lead to this address: one with a special purpose
    // (base/ip_address.hpp) must be in a network that is allowed itself.
    NetVerdict decide_resolved(const DomainName& name, const IpAddress& address, std::uint16_t port) const;
    // Networks of which every address may be tried without a name, for the kernel's filter.
    const std::vector<IpNetwork>& networks() const;
    // Between these decisions are alike: every port and every network that an entry names.
    std::vector<std::uint16_t> named_ports() const;
    std::vector<IpNetwork> named_networks() const;
    // Sentences about entries that are not understood.
    const std::vector<std::string>& problems() const;

  private:
    struct Rules;
    std::unique_ptr<Rules> rules_;
};

// The ports that `net.allowed` names, sorted; nullopt where it names none for an entry, has presets or is
// absent: any port then. What holds where nothing but the port can be held.
std::optional<std::vector<std::uint16_t>> tcp_ports(const NetRules& rules);

}  // namespace substrate::policy
