#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.hpp"
#include "sys/netlink.hpp"

// Tables of nftables(8) in the family "inet", as netlink messages: the kernel takes a batch whole or not at
// all. Pure.
namespace substrate::sys {

// What a set holds: addresses, or addresses with a port.
enum class NftKey : std::uint8_t { ipv4, ipv6, ipv4_port, ipv6_port };

// From `first` to `last`, both included; of a set with ports, with each port from `port_first` to
// `port_last`.
struct NftRange {
    IpAddress first, last;
    std::uint16_t port_first = 0, port_last = 0xffff;
    std::uint64_t timeout_ms = 0;  // 0: until it is removed
    bool operator==(const NftRange&) const = default;
};

// The ranges as a set of addresses takes them: sorted, and joined where they touch.
std::vector<NftRange> joined(std::vector<NftRange> ranges);

// What rules that refuse packets ("reject") have counted.
struct NftCount {
    std::uint64_t packets = 0, bytes = 0;
    bool operator==(const NftCount&) const = default;
};
// The sum over a chain. `socket`: of NETLINK_NETFILTER in its network, which whoever asks must be allowed to
// change.
Result<NftCount> refused_packets(int socket, const std::string& table, const std::string& chain);

enum class NftHook : std::uint8_t { input, output, postrouting };

class NftBatch {
  public:
    explicit NftBatch(std::string table);

    // Of an owned table nobody else changes anything, and it goes with the socket that made it.
    // KERNEL(5.12)
    void add_table(bool owned = false);
    void delete_table();
    // "filter", or "nat"; what no rule has accepted is dropped, or accepted.
    void add_filter_chain(const char* name, NftHook hook);
    void add_nat_chain(const char* name, NftHook hook, std::int32_t priority);
    // Of ranges; with `times_out`, each may have an end of its own.
    void add_set(const char* name, NftKey key, bool times_out = false);
    void flush_set(const char* name);
    // Ranges of one set must not overlap.
    void add_elements(const char* set, NftKey key, std::span<const NftRange> ranges);
    void remove_elements(const char* set, NftKey key, std::span<const NftRange> ranges);

    void begin_rule(const char* chain);
    void end_rule() { batch_.close_nest(expressions_); }
    // Expressions of the open rule: what they compare, and what happens then.
    void is_ipv4() { is_protocol(/*v4=*/true); }
    void is_ipv6() { is_protocol(/*v4=*/false); }
    void is_tcp();
    void leaves_by(std::uint32_t interface) { by_interface(interface, /*out=*/true); }
    void came_by(std::uint32_t interface) { by_interface(interface, /*out=*/false); }
    void is_to(const IpNetwork& network);
    void is_from(const IpAddress& address);
    void destination_in(const char* set, NftKey key);
    // Of a connection that was accepted before, or what belongs to one.
    void is_established();
    void accept();
    void count();
    void limit_per_second(std::uint32_t packets);
    void log(const std::string& prefix);
    // A connection ends at once; an ICMP error would reach it as one more reason to try again.
    void reset();
    // As "administratively prohibited": nobody waits for an answer that never comes.
    void refuse();
    void redirect(const IpAddress& address, std::uint16_t port);
    void masquerade();

    NetlinkBatch take();

  private:
    void control(std::uint16_t type);
    void start(std::uint16_t type, int flags);
    void chain(const char* name, const char* type, NftHook hook, std::int32_t priority);
    void elements(std::uint16_t type, const char* set, NftKey key, std::span<const NftRange> ranges);
    void load_meta(std::uint32_t key);
    void load_payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length, std::uint32_t where);
    void is_protocol(bool v4);
    void by_interface(std::uint32_t interface, bool out);
    void compare(std::uint32_t how, std::string_view bytes);
    void equals(std::string_view bytes);
    void mask(std::string_view mask);
    void load(std::uint32_t where, std::string_view bytes);
    template <class Fill>
    void expression(const char* name, Fill fill);
    void value(std::uint16_t type, std::string_view bytes);

    std::string table_;
    NetlinkBatch batch_;
    std::size_t expressions_ = 0;
    std::uint32_t sets_ = 0;
};

}  // namespace substrate::sys
