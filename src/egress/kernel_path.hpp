#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "egress/access_rules.hpp"
#include "sys/internet_socket.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::egress {

// The sets by which the kernel judges the connections of a world with a veth pair; the rules that ask them
// are the world's own.
class KernelPath {
  public:
    struct Names {
        std::string table;
        // Of version 4 and 6: what may be connected to without a name, and what names lead to.
        std::vector<std::string> networks, names;
    };
    // `socket`: of NETLINK_NETFILTER, in the world's network.
    static Result<KernelPath> open(sys::UniqueFd socket, Names names, const AccessRules& rules);

    struct Opened {
        std::vector<IpAddress> addresses;  // those with an open port
        std::uint32_t ttl_secs = 0;        // how long they may be remembered
    };
    // Opens the ports of the addresses that the rules open to the name, for `ttl_secs` and the moment that a
    // client needs to connect. Before the name's answer is given.
    Result<Opened> allow(const AccessRules& rules, const policy::DomainName& name,
                         std::span<const IpAddress> addresses, std::uint32_t ttl_secs);
    // Other rules: what they open is open, and connections that they do not are cut with their next packet.
    // Rules with a budget of bytes open nothing: nobody would count.
    Result<> apply(const AccessRules& rules);
    // The name that has led to the address; of several, the one that did so last.
    std::optional<std::string> name_of(const IpAddress& address) const;

  private:
    struct Known {
        std::map<std::string, std::int64_t> until_ns;  // by name
        std::string last_name;
        std::vector<AccessRules::Ports> ports;
        std::int64_t open_until_ns = 0;
    };
    KernelPath(sys::UniqueFd socket, Names names) : socket_(std::move(socket)), names_(std::move(names)) {}
    Result<> fill(const AccessRules& rules, bool anew);
    Result<> put(const IpAddress& address, const Known& known, const Known* before);
    static std::vector<AccessRules::Ports> ports_of(const AccessRules& rules, const IpAddress& address,
                                                    const Known& known, std::int64_t now);
    std::vector<sys::NftRange> ranges(const IpAddress& address, const Known& known, std::int64_t now) const;
    Result<> forget_connections();
    void forget_expired(std::int64_t now);

    sys::UniqueFd socket_;
    Names names_;
    std::map<IpAddress, Known> addresses_;
};

// Of a message of the kernel's connection tracking (NFNLGRP_CONNTRACK_NEW): where each new TCP connection
// leads.
std::vector<sys::Endpoint> new_connections(std::string_view message);

}  // namespace substrate::egress
