#include "sys/nft.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <sys/socket.h>

// Behind <netinet/in.h>, whose names they would define anew.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace substrate::sys {
namespace {

// Of nft's types, which it shows by name.
constexpr std::uint32_t kIpv4Type = 7, kIpv6Type = 8, kPortType = 13, kTypeBits = 6;
constexpr std::uint32_t kSecondRegister4 = NFT_REG32_01;  // behind an address of version 4
constexpr std::uint32_t kSecondRegister6 = NFT_REG_2;     // behind one of version 6
constexpr std::uint32_t kSource4 = 12, kDestination4 = 16, kSource6 = 8, kDestination6 = 24;  // in headers
constexpr std::uint32_t kDestinationPort = 2;
constexpr std::size_t kPortField = 4;       // a field of a key is padded to a register
constexpr std::size_t kElementsEach = 200;  // of a message: the length of an attribute has 16 bits

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string_view bytes_of(const IpAddress& address) {
    return {reinterpret_cast<const char*>(address.bytes()), static_cast<std::size_t>(address.bits() / 8)};
}

std::uint64_t be64_of(std::string_view bytes) {
    std::uint64_t value = 0;
    if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
    return be64toh(value);
}

bool with_port(NftKey key) { return key == NftKey::ipv4_port || key == NftKey::ipv6_port; }
bool is_v4(NftKey key) { return key == NftKey::ipv4 || key == NftKey::ipv4_port; }

std::string key_bytes(const IpAddress& address, std::uint16_t port) {
    std::string bytes(bytes_of(address));
    const std::uint16_t ordered = htons(port);
    bytes += bytes_of(ordered);
    bytes.append(kPortField - sizeof ordered, '\0');
    return bytes;
}

std::string mask_bytes(int prefix, int bits) {
    std::string mask(static_cast<std::size_t>(bits / 8), '\0');
    for (int bit = 0; bit < prefix; ++bit) {
        char& byte = mask[static_cast<std::size_t>(bit / 8)];
        byte = static_cast<char>(byte | 0x80 >> (bit % 8));
    }
    return mask;
}

std::uint32_t hook_number(NftHook hook) {
    switch (hook) {
        case NftHook::input: return NF_INET_LOCAL_IN;
        case NftHook::output: return NF_INET_LOCAL_OUT;
        case NftHook::postrouting: return NF_INET_POST_ROUTING;
    }
    return NF_INET_LOCAL_OUT;
}

}  // namespace

std::vector<NftRange> joined(std::vector<NftRange> ranges) {
    std::ranges::sort(ranges, {}, &NftRange::first);
    std::vector<NftRange> result;
    for (const NftRange& range : ranges) {
        const auto behind = result.empty() ? std::nullopt : result.back().last.next();
        if (!result.empty() && (!behind || range.first <= *behind))
            result.back().last = std::max(result.back().last, range.last);
        else result.push_back(range);
    }
    return result;
}

Result<NftCount> refused_packets(int socket, const std::string& table, const std::string& chain) {
    const nfgenmsg head{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0, .res_id = 0};
    NetlinkBatch question;
    question.message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, NLM_F_DUMP, bytes_of(head),
                     /*acknowledged=*/false);
    question.put_text(NFTA_RULE_TABLE, table);
    question.put_text(NFTA_RULE_CHAIN, chain);
    NftCount sum;
    SUB_TRY(netlink_dump(socket, question, [&](std::string_view rule) {
        if (rule.size() < sizeof head) return;
        NftCount counted;
        bool refuses = false;
        each_attribute(attribute(rule.substr(sizeof head), NFTA_RULE_EXPRESSIONS),
                       [&](int, std::string_view each) {
                           const std::string_view name = attribute(each, NFTA_EXPR_NAME);
                           const std::string_view data = attribute(each, NFTA_EXPR_DATA);
                           refuses = refuses || name == std::string_view("reject", sizeof "reject");
                           if (name != std::string_view("counter", sizeof "counter")) return;
                           counted = {.packets = be64_of(attribute(data, NFTA_COUNTER_PACKETS)),
                                      .bytes = be64_of(attribute(data, NFTA_COUNTER_BYTES))};
                       });
        if (!refuses) return;
        sum.packets += counted.packets;
        sum.bytes += counted.bytes;
    }));
    return sum;
}

NftBatch::NftBatch(std::string table) : table_(std::move(table)) { control(NFNL_MSG_BATCH_BEGIN); }

NetlinkBatch NftBatch::take() {
    control(NFNL_MSG_BATCH_END);
    return std::move(batch_);
}

void NftBatch::control(std::uint16_t type) {
    const nfgenmsg head{
        .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    batch_.message(type, 0, bytes_of(head), /*acknowledged=*/false);
}

void NftBatch::start(std::uint16_t type, int flags) {
    const nfgenmsg head{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0, .res_id = 0};
    batch_.message(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                   static_cast<std::uint16_t>(flags), bytes_of(head));
}

void NftBatch::add_table(bool owned) {
    start(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    batch_.put_text(NFTA_TABLE_NAME, table_);
    if (owned) batch_.put_be32(NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
}

void NftBatch::delete_table() {
    start(NFT_MSG_DELTABLE, 0);
    batch_.put_text(NFTA_TABLE_NAME, table_);
}

void NftBatch::chain(const char* name, const char* type, NftHook hook, std::int32_t priority) {
    start(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    batch_.put_text(NFTA_CHAIN_TABLE, table_);
    batch_.put_text(NFTA_CHAIN_NAME, name);
    const std::size_t nest = batch_.open_nest(NFTA_CHAIN_HOOK);
    batch_.put_be32(NFTA_HOOK_HOOKNUM, hook_number(hook));
    batch_.put_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
    batch_.close_nest(nest);
    batch_.put_text(NFTA_CHAIN_TYPE, type);
}

void NftBatch::add_filter_chain(const char* name, NftHook hook) {
    chain(name, "filter", hook, NF_IP_PRI_FILTER);
    batch_.put_be32(NFTA_CHAIN_POLICY, NF_DROP);
}

void NftBatch::add_nat_chain(const char* name, NftHook hook, std::int32_t priority) {
    chain(name, "nat", hook, priority);
}

void NftBatch::add_set(const char* name, NftKey key, bool times_out) {
    const std::uint32_t address_size = is_v4(key) ? 4 : 16;
    const std::uint32_t address_type = is_v4(key) ? kIpv4Type : kIpv6Type;
    const bool ports = with_port(key);
    start(NFT_MSG_NEWSET, NLM_F_CREATE);
    batch_.put_text(NFTA_SET_TABLE, table_);
    batch_.put_text(NFTA_SET_NAME, name);
    std::uint32_t flags = NFT_SET_INTERVAL;
    if (times_out) flags |= NFT_SET_TIMEOUT;
    if (ports) flags |= NFT_SET_CONCAT;
    batch_.put_be32(NFTA_SET_FLAGS, flags);
    batch_.put_be32(NFTA_SET_KEY_TYPE, ports ? address_type << kTypeBits | kPortType : address_type);
    batch_.put_be32(NFTA_SET_KEY_LEN, address_size + (ports ? static_cast<std::uint32_t>(kPortField) : 0U));
    batch_.put_be32(NFTA_SET_ID, ++sets_);
    if (!ports) return;
    const std::size_t description = batch_.open_nest(NFTA_SET_DESC);
    const std::size_t fields = batch_.open_nest(NFTA_SET_DESC_CONCAT);
    for (const std::uint32_t size : {address_size, static_cast<std::uint32_t>(sizeof(std::uint16_t))}) {
        const std::size_t field = batch_.open_nest(NFTA_LIST_ELEM);
        batch_.put_be32(NFTA_SET_FIELD_LEN, size);
        batch_.close_nest(field);
    }
    batch_.close_nest(fields);
    batch_.close_nest(description);
}

void NftBatch::flush_set(const char* name) {
    start(NFT_MSG_DELSETELEM, 0);
    batch_.put_text(NFTA_SET_ELEM_LIST_TABLE, table_);
    batch_.put_text(NFTA_SET_ELEM_LIST_SET, name);
}

void NftBatch::add_elements(const char* set, NftKey key, std::span<const NftRange> ranges) {
    elements(NFT_MSG_NEWSETELEM, set, key, ranges);
}

void NftBatch::remove_elements(const char* set, NftKey key, std::span<const NftRange> ranges) {
    elements(NFT_MSG_DELSETELEM, set, key, ranges);
}

void NftBatch::elements(std::uint16_t type, const char* set, NftKey key, std::span<const NftRange> ranges) {
    for (; !ranges.empty(); ranges = ranges.subspan(std::min(ranges.size(), kElementsEach))) {
        start(type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
        batch_.put_text(NFTA_SET_ELEM_LIST_TABLE, table_);
        batch_.put_text(NFTA_SET_ELEM_LIST_SET, set);
        const std::size_t list = batch_.open_nest(NFTA_SET_ELEM_LIST_ELEMENTS);
        for (const NftRange& range : ranges.first(std::min(ranges.size(), kElementsEach))) {
            const std::size_t one = batch_.open_nest(NFTA_LIST_ELEM);
            if (with_port(key)) {
                value(NFTA_SET_ELEM_KEY, key_bytes(range.first, range.port_first));
                value(NFTA_SET_ELEM_KEY_END, key_bytes(range.last, range.port_last));
            } else value(NFTA_SET_ELEM_KEY, bytes_of(range.first));
            if (range.timeout_ms != 0 && type == NFT_MSG_NEWSETELEM)
                batch_.put_be64(NFTA_SET_ELEM_TIMEOUT, range.timeout_ms);
            batch_.close_nest(one);
            // The end of a range of addresses is an element itself: the first behind it. Of what reaches to
            // the end of all there is none.
            const auto behind = with_port(key) ? std::nullopt : range.last.next();
            if (!behind) continue;
            const std::size_t end = batch_.open_nest(NFTA_LIST_ELEM);
            value(NFTA_SET_ELEM_KEY, bytes_of(*behind));
            batch_.put_be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
            batch_.close_nest(end);
        }
        batch_.close_nest(list);
    }
}

void NftBatch::begin_rule(const char* chain) {
    start(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    batch_.put_text(NFTA_RULE_TABLE, table_);
    batch_.put_text(NFTA_RULE_CHAIN, chain);
    expressions_ = batch_.open_nest(NFTA_RULE_EXPRESSIONS);
}

template <class Fill>
void NftBatch::expression(const char* name, Fill fill) {
    const std::size_t element = batch_.open_nest(NFTA_LIST_ELEM);
    batch_.put_text(NFTA_EXPR_NAME, name);
    const std::size_t data = batch_.open_nest(NFTA_EXPR_DATA);
    fill();
    batch_.close_nest(data);
    batch_.close_nest(element);
}

void NftBatch::value(std::uint16_t type, std::string_view bytes) {
    const std::size_t nest = batch_.open_nest(type);
    batch_.put(NFTA_DATA_VALUE, bytes);
    batch_.close_nest(nest);
}

void NftBatch::load_meta(std::uint32_t key) {
    expression("meta", [&] {
        batch_.put_be32(NFTA_META_KEY, key);
        batch_.put_be32(NFTA_META_DREG, NFT_REG_1);
    });
}

void NftBatch::load_payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length,
                            std::uint32_t where) {
    expression("payload", [&] {
        batch_.put_be32(NFTA_PAYLOAD_DREG, where);
        batch_.put_be32(NFTA_PAYLOAD_BASE, base);
        batch_.put_be32(NFTA_PAYLOAD_OFFSET, offset);
        batch_.put_be32(NFTA_PAYLOAD_LEN, length);
    });
}

void NftBatch::compare(std::uint32_t how, std::string_view bytes) {
    expression("cmp", [&] {
        batch_.put_be32(NFTA_CMP_SREG, NFT_REG_1);
        batch_.put_be32(NFTA_CMP_OP, how);
        value(NFTA_CMP_DATA, bytes);
    });
}

void NftBatch::equals(std::string_view bytes) { compare(NFT_CMP_EQ, bytes); }

void NftBatch::mask(std::string_view mask) {
    expression("bitwise", [&] {
        batch_.put_be32(NFTA_BITWISE_SREG, NFT_REG_1);
        batch_.put_be32(NFTA_BITWISE_DREG, NFT_REG_1);
        batch_.put_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
        value(NFTA_BITWISE_MASK, mask);
        value(NFTA_BITWISE_XOR, std::string(mask.size(), '\0'));
    });
}

void NftBatch::load(std::uint32_t where, std::string_view bytes) {
    expression("immediate", [&] {
        batch_.put_be32(NFTA_IMMEDIATE_DREG, where);
        value(NFTA_IMMEDIATE_DATA, bytes);
    });
}

void NftBatch::is_protocol(bool v4) {
    const std::uint8_t protocol = v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    load_meta(NFT_META_NFPROTO);
    equals(bytes_of(protocol));
}

void NftBatch::is_tcp() {
    const std::uint8_t tcp = IPPROTO_TCP;
    load_meta(NFT_META_L4PROTO);
    equals(bytes_of(tcp));
}

void NftBatch::by_interface(std::uint32_t interface, bool out) {
    load_meta(out ? NFT_META_OIF : NFT_META_IIF);
    equals(bytes_of(interface));
}

void NftBatch::is_to(const IpNetwork& network) {
    const bool v4 = network.first.is_v4();
    is_protocol(v4);
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, v4 ? kDestination4 : kDestination6,
                 static_cast<std::uint32_t>(network.first.bits() / 8), NFT_REG_1);
    if (network.prefix != network.first.bits()) mask(mask_bytes(network.prefix, network.first.bits()));
    equals(bytes_of(network.first));
}

void NftBatch::is_from(const IpAddress& address) {
    is_protocol(address.is_v4());
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, address.is_v4() ? kSource4 : kSource6,
                 static_cast<std::uint32_t>(address.bits() / 8), NFT_REG_1);
    equals(bytes_of(address));
}

void NftBatch::destination_in(const char* set, NftKey key) {
    load_payload(NFT_PAYLOAD_NETWORK_HEADER, is_v4(key) ? kDestination4 : kDestination6, is_v4(key) ? 4 : 16,
                 NFT_REG_1);
    if (with_port(key))
        load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, kDestinationPort, sizeof(std::uint16_t),
                     is_v4(key) ? kSecondRegister4 : kSecondRegister6);
    expression("lookup", [&] {
        batch_.put_text(NFTA_LOOKUP_SET, set);
        batch_.put_be32(NFTA_LOOKUP_SREG, NFT_REG_1);
    });
}

void NftBatch::is_established() {
    const std::uint32_t states = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);
    const std::uint32_t none = 0;
    expression("ct", [&] {
        batch_.put_be32(NFTA_CT_KEY, NFT_CT_STATE);
        batch_.put_be32(NFTA_CT_DREG, NFT_REG_1);
    });
    mask(bytes_of(states));
    compare(NFT_CMP_NEQ, bytes_of(none));
}

void NftBatch::accept() {
    expression("immediate", [&] {
        batch_.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        const std::size_t data = batch_.open_nest(NFTA_IMMEDIATE_DATA);
        const std::size_t verdict = batch_.open_nest(NFTA_DATA_VERDICT);
        batch_.put_be32(NFTA_VERDICT_CODE, NF_ACCEPT);
        batch_.close_nest(verdict);
        batch_.close_nest(data);
    });
}

void NftBatch::count() {
    expression("counter", [&] {
        batch_.put_be64(NFTA_COUNTER_BYTES, 0);
        batch_.put_be64(NFTA_COUNTER_PACKETS, 0);
    });
}

void NftBatch::limit_per_second(std::uint32_t packets) {
    expression("limit", [&] {
        batch_.put_be64(NFTA_LIMIT_RATE, packets);
        batch_.put_be64(NFTA_LIMIT_UNIT, 1);
        batch_.put_be32(NFTA_LIMIT_BURST, 5);
        batch_.put_be32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
    });
}

void NftBatch::log(const std::string& prefix) {
    expression("log", [&] { batch_.put_text(NFTA_LOG_PREFIX, prefix); });
}

void NftBatch::reset() {
    expression("reject", [&] {
        batch_.put_be32(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
        batch_.put(NFTA_REJECT_ICMP_CODE, std::string_view("\0", 1));
    });
}

void NftBatch::refuse() {
    expression("reject", [&] {
        batch_.put_be32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
        batch_.put(NFTA_REJECT_ICMP_CODE, std::string_view("\3", 1));  // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
    });
}

void NftBatch::redirect(const IpAddress& address, std::uint16_t port) {
    const std::uint16_t ordered = htons(port);
    load(NFT_REG_1, bytes_of(address));
    load(NFT_REG_2, bytes_of(ordered));
    expression("nat", [&] {
        batch_.put_be32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
        batch_.put_be32(NFTA_NAT_FAMILY, address.is_v4() ? NFPROTO_IPV4 : NFPROTO_IPV6);
        batch_.put_be32(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
        batch_.put_be32(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
    });
}

void NftBatch::masquerade() {
    expression("masq", [] {});
}

}  // namespace substrate::sys
