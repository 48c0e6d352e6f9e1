#include "world/uplink_rules.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

// Behind <netinet/in.h>, whose names they would define anew.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace substrate::world {
namespace {

using sys::NetlinkBatch;

constexpr std::uint32_t kLoopback = 1;  // its index, in every net namespace
constexpr const char* kSet = "redirected4";
constexpr const char* kFilterChain = "output";
constexpr const char* kRedirectChain = "redirect";
constexpr std::uint32_t kIpv4Type = 7;  // of nft's set keys: ipv4_addr
constexpr std::uint32_t kLoggedPerSecond = 10;

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string_view bytes_of(const IpAddress& address) {
    return {reinterpret_cast<const char*>(address.bytes()), static_cast<std::size_t>(address.bits() / 8)};
}

// The messages of one table.
class TableBuilder {
  public:
    explicit TableBuilder(std::string table) : table_(std::move(table)) {
        control(NFNL_MSG_BATCH_BEGIN);
        start(NFT_MSG_NEWTABLE, NLM_F_CREATE);
        batch_.put_text(NFTA_TABLE_NAME, table_);
    }

    void filter_chain() {
        chain(kFilterChain, "filter", NF_IP_PRI_FILTER);
        // From the first instant: the table appears as a whole.
        batch_.put_be32(NFTA_CHAIN_POLICY, NF_DROP);
    }
    void redirect_chain() { chain(kRedirectChain, "nat", NF_IP_PRI_NAT_DST); }

    void set_of(const std::vector<IpNetwork>& networks);

    void begin_rule(const char* chain) {
        start(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        batch_.put_text(NFTA_RULE_TABLE, table_);
        batch_.put_text(NFTA_RULE_CHAIN, chain);
        expressions_ = batch_.open_nest(NFTA_RULE_EXPRESSIONS);
    }
    void end_rule() { batch_.close_nest(expressions_); }

    // Expressions of the open rule, each with the register that it works on.
    void load_meta(nft_meta_keys key) {
        expression("meta", [&] {
            batch_.put_be32(NFTA_META_KEY, key);
            batch_.put_be32(NFTA_META_DREG, NFT_REG_1);
        });
    }
    void load_network_header(std::uint32_t offset, std::uint32_t length) {
        expression("payload", [&] {
            batch_.put_be32(NFTA_PAYLOAD_DREG, NFT_REG_1);
            batch_.put_be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
            batch_.put_be32(NFTA_PAYLOAD_OFFSET, offset);
            batch_.put_be32(NFTA_PAYLOAD_LEN, length);
        });
    }
    void mask(std::string_view mask) {
        expression("bitwise", [&] {
            batch_.put_be32(NFTA_BITWISE_SREG, NFT_REG_1);
            batch_.put_be32(NFTA_BITWISE_DREG, NFT_REG_1);
            batch_.put_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
            value(NFTA_BITWISE_MASK, mask);
            value(NFTA_BITWISE_XOR, std::string(mask.size(), '\0'));
        });
    }
    void equals(std::string_view bytes) {
        expression("cmp", [&] {
            batch_.put_be32(NFTA_CMP_SREG, NFT_REG_1);
            batch_.put_be32(NFTA_CMP_OP, NFT_CMP_EQ);
            value(NFTA_CMP_DATA, bytes);
        });
    }
    void is_in_set() {
        expression("lookup", [&] {
            batch_.put_text(NFTA_LOOKUP_SET, kSet);
            batch_.put_be32(NFTA_LOOKUP_SREG, NFT_REG_1);
        });
    }
    void accept() {
        expression("immediate", [&] {
            batch_.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            const std::size_t data = batch_.open_nest(NFTA_IMMEDIATE_DATA);
            const std::size_t verdict = batch_.open_nest(NFTA_DATA_VERDICT);
            batch_.put_be32(NFTA_VERDICT_CODE, NF_ACCEPT);
            batch_.close_nest(verdict);
            batch_.close_nest(data);
        });
    }
    void load(nft_registers where, std::string_view bytes) {
        expression("immediate", [&] {
            batch_.put_be32(NFTA_IMMEDIATE_DREG, static_cast<std::uint32_t>(where));
            value(NFTA_IMMEDIATE_DATA, bytes);
        });
    }
    void count() {
        expression("counter", [&] {
            batch_.put_be64(NFTA_COUNTER_BYTES, 0);
            batch_.put_be64(NFTA_COUNTER_PACKETS, 0);
        });
    }
    void limit_per_second(std::uint32_t packets) {
        expression("limit", [&] {
            batch_.put_be64(NFTA_LIMIT_RATE, packets);
            batch_.put_be64(NFTA_LIMIT_UNIT, 1);
            batch_.put_be32(NFTA_LIMIT_BURST, 5);
            batch_.put_be32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
        });
    }
    void log(const std::string& prefix) {
        expression("log", [&] { batch_.put_text(NFTA_LOG_PREFIX, prefix); });
    }
    // A connection ends at once; the ICMP error below would reach it as one more reason to try again.
    void reset() {
        expression("reject", [&] {
            batch_.put_be32(NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
            batch_.put(NFTA_REJECT_ICMP_CODE, std::string_view("\0", 1));
        });
    }
    // As "administratively prohibited": nobody waits for an answer that never comes.
    void refuse() {
        expression("reject", [&] {
            batch_.put_be32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
            batch_.put(NFTA_REJECT_ICMP_CODE,
                       std::string_view("\3", 1));  // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
        });
    }
    void redirect(const IpAddress& address, std::uint16_t port) {
        load(NFT_REG_1, bytes_of(address));
        const std::uint16_t ordered = htons(port);
        load(NFT_REG_2, bytes_of(ordered));
        expression("nat", [&] {
            batch_.put_be32(NFTA_NAT_TYPE, NFT_NAT_DNAT);
            batch_.put_be32(NFTA_NAT_FAMILY, NFPROTO_IPV4);
            batch_.put_be32(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
            batch_.put_be32(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
        });
    }

    NetlinkBatch take() {
        control(NFNL_MSG_BATCH_END);
        return std::move(batch_);
    }

  private:
    void control(std::uint16_t type) {
        const nfgenmsg head{
            .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
        batch_.message(type, 0, bytes_of(head), /*acknowledged=*/false);
    }
    void start(nf_tables_msg_types type, int flags) {
        const nfgenmsg head{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0, .res_id = 0};
        batch_.message(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                       static_cast<std::uint16_t>(flags), bytes_of(head));
    }
    void chain(const char* name, const char* type, std::int32_t priority) {
        start(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
        batch_.put_text(NFTA_CHAIN_TABLE, table_);
        batch_.put_text(NFTA_CHAIN_NAME, name);
        const std::size_t hook = batch_.open_nest(NFTA_CHAIN_HOOK);
        batch_.put_be32(NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
        batch_.put_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
        batch_.close_nest(hook);
        batch_.put_text(NFTA_CHAIN_TYPE, type);
    }
    template <class Fill>
    void expression(const char* name, Fill fill) {
        const std::size_t element = batch_.open_nest(NFTA_LIST_ELEM);
        batch_.put_text(NFTA_EXPR_NAME, name);
        const std::size_t data = batch_.open_nest(NFTA_EXPR_DATA);
        fill();
        batch_.close_nest(data);
        batch_.close_nest(element);
    }
    void value(std::uint16_t type, std::string_view bytes) {
        const std::size_t nest = batch_.open_nest(type);
        batch_.put(NFTA_DATA_VALUE, bytes);
        batch_.close_nest(nest);
    }

    std::string table_;
    NetlinkBatch batch_;
    std::size_t expressions_ = 0;
};

// The first address and the first behind the last; of what reaches to the end there is none behind.
struct Interval {
    std::uint64_t first, behind;
};

// Sorted, and joined where they touch: a set's intervals must not overlap.
std::vector<Interval> intervals_of(const std::vector<IpNetwork>& networks) {
    std::vector<Interval> intervals;
    for (const IpNetwork& network : networks)
        if (network.first.is_v4()) {
            const std::uint64_t first = network.first.v4_value();
            intervals.push_back({first, first + (std::uint64_t{1} << (32 - network.prefix))});
        }
    std::ranges::sort(intervals, {}, &Interval::first);
    std::vector<Interval> joined;
    for (const Interval& interval : intervals) {
        if (!joined.empty() && interval.first <= joined.back().behind)
            joined.back().behind = std::max(joined.back().behind, interval.behind);
        else joined.push_back(interval);
    }
    return joined;
}

void TableBuilder::set_of(const std::vector<IpNetwork>& networks) {
    start(NFT_MSG_NEWSET, NLM_F_CREATE);
    batch_.put_text(NFTA_SET_TABLE, table_);
    batch_.put_text(NFTA_SET_NAME, kSet);
    batch_.put_be32(NFTA_SET_FLAGS, NFT_SET_INTERVAL);
    batch_.put_be32(NFTA_SET_KEY_TYPE, kIpv4Type);
    batch_.put_be32(NFTA_SET_KEY_LEN, 4);
    batch_.put_be32(NFTA_SET_ID, 1);
    start(NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    batch_.put_text(NFTA_SET_ELEM_LIST_TABLE, table_);
    batch_.put_text(NFTA_SET_ELEM_LIST_SET, kSet);
    const std::size_t elements = batch_.open_nest(NFTA_SET_ELEM_LIST_ELEMENTS);
    const auto element = [&](std::uint64_t address, bool ends) {
        if (address > UINT32_MAX) return;
        const std::size_t one = batch_.open_nest(NFTA_LIST_ELEM);
        value(NFTA_SET_ELEM_KEY, bytes_of(IpAddress::v4(static_cast<std::uint32_t>(address))));
        if (ends) batch_.put_be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        batch_.close_nest(one);
    };
    for (const Interval& interval : intervals_of(networks)) {
        element(interval.first, /*ends=*/false);
        element(interval.behind, /*ends=*/true);
    }
    batch_.close_nest(elements);
}

constexpr std::uint32_t kDestination4 = 16, kDestination6 = 24;  // offsets in the headers

void accept_loopback(TableBuilder& table) {
    const std::uint8_t ipv4 = NFPROTO_IPV4, ipv6 = NFPROTO_IPV6;
    table.begin_rule(kFilterChain);
    table.load_meta(NFT_META_NFPROTO);
    table.equals(bytes_of(ipv4));
    table.load_network_header(kDestination4, 4);
    table.mask(std::string_view("\xff\0\0\0", 4));
    table.equals(std::string_view("\x7f\0\0\0", 4));
    table.accept();
    table.end_rule();
    table.begin_rule(kFilterChain);
    table.load_meta(NFT_META_NFPROTO);
    table.equals(bytes_of(ipv6));
    table.load_network_header(kDestination6, 16);
    table.equals(bytes_of(*IpAddress::parse("::1")));
    table.accept();
    table.end_rule();
}

void refuse_the_rest(TableBuilder& table, const std::string& name) {
    const std::size_t underscore = name.find('_');
    const std::string id = underscore == std::string::npos ? name : name.substr(underscore + 1);
    table.begin_rule(kFilterChain);
    table.limit_per_second(kLoggedPerSecond);
    table.log("substrate-dropped-" + id + " ");
    table.end_rule();
    const std::uint8_t tcp = IPPROTO_TCP;
    table.begin_rule(kFilterChain);
    table.load_meta(NFT_META_L4PROTO);
    table.equals(bytes_of(tcp));
    table.count();
    table.reset();
    table.end_rule();
    table.begin_rule(kFilterChain);
    table.count();
    table.refuse();
    table.end_rule();
}

void redirect_to_gateway(TableBuilder& table) {
    const std::uint8_t ipv4 = NFPROTO_IPV4, tcp = IPPROTO_TCP;
    table.begin_rule(kRedirectChain);
    table.load_meta(NFT_META_NFPROTO);
    table.equals(bytes_of(ipv4));
    table.load_meta(NFT_META_L4PROTO);
    table.equals(bytes_of(tcp));
    table.load_network_header(kDestination4, 4);
    table.is_in_set();
    table.count();
    table.redirect(*IpAddress::parse(plan::kGatewayAddress), plan::kGatewayPort);
    table.end_rule();
}

}  // namespace

sys::NetlinkBatch uplink_routes() {
    NetlinkBatch batch;
    rtmsg route{};
    route.rtm_family = AF_INET;
    route.rtm_table = RT_TABLE_LOCAL;
    route.rtm_protocol = RTPROT_STATIC;
    route.rtm_scope = RT_SCOPE_HOST;
    route.rtm_type = RTN_LOCAL;
    batch.message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, bytes_of(route));
    batch.put_u32(RTA_OIF, kLoopback);
    batch.put(RTA_PREFSRC, bytes_of(IpAddress::v4(INADDR_LOOPBACK)));
    return batch;
}

sys::NetlinkBatch uplink_rules(const plan::UplinkPlan& plan) {
    TableBuilder table(plan.table);
    table.filter_chain();
    table.redirect_chain();
    std::vector<IpNetwork> networks = plan.networks;
    networks.push_back(*IpNetwork::parse(plan::kNamedNetwork));
    table.set_of(networks);
    accept_loopback(table);
    refuse_the_rest(table, plan.table);
    redirect_to_gateway(table);
    return table.take();
}

}  // namespace substrate::world
