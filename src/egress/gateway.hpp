#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "codec/json_value.hpp"
#include "egress/access_rules.hpp"
#include "egress/activity.hpp"
#include "egress/connection.hpp"
#include "egress/dns_message.hpp"
#include "egress/event_loop.hpp"
#include "egress/kernel_path.hpp"
#include "egress/meter.hpp"
#include "egress/name_cache.hpp"
#include "egress/name_table.hpp"
#include "egress/published_port.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::egress {

// The one way out of worlds: serves the sockets of each, answers its questions for names, and connects where
// its rules allow. Says everything it decides over its control socket (SOCK_SEQPACKET, JSON):
//   to it      {"type": "open", "world"} with rules (a memory file), the world's sockets and its
//   ActivityPage, where
//              commands are counted; of a world with a veth pair also "table", "networks", "names"
//              (KernelPath::Names) and "ipv6"; {"type": "rules", "world"} with rules: connections that they
//              no longer allow end; {"type": "close", "world"}; {"type": "agent", "world", "agent"?,
//              "agent_bytes"?}: whose the next commands are, and what that agent may move within an hour of
//              its first; {"type": "publish", "world", "port"} with a maker of sockets (socket_maker.hpp) and
//              listening sockets of the host, until {"type": "unpublish", …}
//   from it    {"type": "net_connect", …}, {"type": "dns_query", …}, {"type": "rate_limit", …}, each with
//   "world"; {"type": "published", …} at the end of a connection from the host; on {"type": "sync", "world",
//   "number"} {"type": "reached", …} for open connections, and the same
class Gateway {
  public:
    // `control` is served until its peer closes it; run() then returns.
    static Result<std::unique_ptr<Gateway>> make(sys::UniqueFd control,
                                                 const NameTable::Networks& named_networks);
    ~Gateway();
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    Result<> run();

    // Of one world; fewer where there are not twice the descriptors for them: others need some too.
    static constexpr std::size_t kMostConnections = 8192;

  private:
    struct World;
    Gateway(EventLoop loop, sys::UniqueFd control, const NameTable::Networks& named_networks);

    void hear();
    // Whether there was an order.
    bool hear_one();
    Result<> take_order(std::string_view text, std::vector<sys::UniqueFd> fds);
    Result<> open_world(const std::string& id, AccessRules rules, std::vector<sys::UniqueFd> sockets,
                        ActivityNote activity, std::optional<KernelPath::Names> sets, bool ipv6);
    Result<> publish(const std::string& world, std::uint16_t port, std::vector<sys::UniqueFd> fds);
    void apply_rules(World& world, AccessRules rules);
    void close_world(const std::string& id);
    void say(Json event);
    void send_waiting();

    void accept(World& world, int listener);
    void connect(World& world, sys::UniqueFd client, const sys::Endpoint& to);
    void connect_named(World& world, sys::UniqueFd client, const policy::DomainName& name,
                       std::uint16_t port);
    void begin(World& world, sys::UniqueFd client, Connection::Target target);
    // Before something is taken from one of its sockets. False: an order that came with it has closed the
    // world.
    bool stir(World& world);
    void begin_command(World& world);
    std::shared_ptr<ByteAccount> account_of(const std::string& agent);
    void report(World& world, const ConnectionReport& report);
    void tell_reached(const World& world);
    void tell_exhausted(World& world);
    void end_all(World& world, const std::string& why);

    void answer_datagram(World& world);
    void accept_name_client(World& world);
    void read_name_client(World& world, int fd);
    using Reply = std::function<void(std::string)>;
    void answer(World& world, std::string_view message, const Reply& reply);
    Result<> open_kernel_path(World& world, KernelPath::Names sets);
    void hear_connections(World& world);
    std::string answer_by_kernel(World& world, const DnsQuery& query, const policy::DomainName& name,
                                 const Resolved& resolved, Json& event);
    void answer_address(World& world, DnsQuery query, const policy::DomainName& name, const Reply& reply);

    EventLoop loop_;
    sys::UniqueFd control_;
    NameTable::Networks named_networks_;
    std::size_t most_connections_ = kMostConnections;
    std::unique_ptr<NameCache> names_;
    struct AgentAccount {
        std::shared_ptr<ByteAccount> bytes;
        std::int64_t since_ns = 0;
    };
    std::map<std::string, AgentAccount> agents_;
    std::map<std::string, std::shared_ptr<World>> worlds_;
    std::map<std::pair<std::string, std::uint16_t>, std::unique_ptr<PublishedPort>> published_;
    std::vector<std::string> unsent_;
    std::uint64_t lost_ = 0;
};

}  // namespace substrate::egress
