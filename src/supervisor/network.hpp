#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/env.hpp"
#include "broker/broker.hpp"
#include "broker/tool_hosts.hpp"
#include "egress/activity.hpp"
#include "process/spawn.hpp"
#include "supervisor/network_order.hpp"
#include "sys/unique_fd.hpp"
#include "trace/writer.hpp"

namespace substrate::supervisor {

struct GatewayEvent;

// The gateway of one agent (egress::Gateway): a process that is started with the first world that needs it.
// Thread-safe. Every decision of the gateway becomes a record of the trace.
class Network {
  public:
    Network(const Env& env, trace::TraceWriter& trace, std::string gateway_program, broker::Places places);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    // The order for these policies in this project; computed once for each content. `counted`: what a command
    // moves has to be counted, whatever the policies say.
    std::shared_ptr<const NetworkOrder> order_for(const broker::PolicySet& policies,
                                                  const std::string& project,
                                                  const NetworkGrants& grants = {}, bool counted = false);

    // A world that the gateway serves; no longer, once this is gone.
    class Served {
      public:
        Served(std::shared_ptr<Network> network, std::string world, std::uint64_t generation);
        ~Served();
        Served(const Served&) = delete;
        Served& operator=(const Served&) = delete;

        // Whether the gateway that was given the world's sockets still runs: without it nothing answers
        // there, for ever.
        bool alive() const;
        // The same sockets under other rules. Its networks are in the world's kernel, and must be the same.
        Result<> change(const std::shared_ptr<const NetworkOrder>& order);
        // What the kernel refuses there counts, from now until the world's end. `rules`: world/uplink.hpp.
        void count_refused(sys::UniqueFd rules, std::string table);

      private:
        std::shared_ptr<Network> network_;
        std::string world_;
        std::uint64_t generation_;
    };
    // Of a world with a veth pair: the table with the sets that the gateway fills.
    struct Kernel {
        std::string table;
        bool ipv6 = false;
    };
    // `sockets` are those of world/uplink.hpp. With `kernel` it waits until the sets are filled.
    static Result<std::unique_ptr<Served>> serve(std::shared_ptr<Network> network, const std::string& world,
                                                 const std::shared_ptr<const NetworkOrder>& order,
                                                 const std::vector<sys::UniqueFd>& sockets,
                                                 const std::optional<Kernel>& kernel = std::nullopt);

    // A port of a world that the host's loopback leads to, as long as this lives.
    class Published {
      public:
        Published(std::shared_ptr<Network> network, std::string world, std::uint16_t port,
                  process::Child maker, std::uint64_t generation);
        ~Published();
        Published(const Published&) = delete;
        Published& operator=(const Published&) = delete;
        // Whether the gateway that was given it still runs, and who makes its sockets in the world.
        bool alive() const;

      private:
        std::shared_ptr<Network> network_;
        std::string world_;
        std::uint16_t port_;
        process::Child maker_;
        std::uint64_t generation_;
    };
    // `init`: the world's. Errc::conflict where the port is in use on the host.
    static Result<std::unique_ptr<Published>> publish(std::shared_ptr<Network> network,
                                                      const std::string& world, std::uint16_t port,
                                                      const process::Child& init);

    // Since the agent has started.
    struct Counts {
        std::uint64_t connections = 0, refused = 0, failed = 0;  // of worlds, that have ended
        std::uint64_t sent = 0, received = 0;                    // bytes
        std::uint64_t names = 0, names_known = 0, names_refused = 0, names_failed = 0;  // questions
        std::uint64_t budgets = 0;                                                      // used up
        std::uint64_t published = 0, published_bytes = 0;  // connections from the host, that have ended
        std::uint64_t gateways = 0;                        // started
        std::uint64_t dropped = 0, dropped_bytes = 0;      // packets that kernels of worlds refused
        std::size_t worlds = 0;                            // served now
    };
    Counts counts() const;

    struct Command {
        std::string session, span, agent;
        std::optional<std::uint64_t> agent_bytes;  // what `agent` may move within an hour, all its commands
        std::string directory, project, profile;   // whose policies hold
    };
    // What happens in the world from now on belongs to this command. The gateway is told only whose it is,
    // and only where that is news.
    void attribute(const std::string& world, Command command);
    // Policies have changed, or grants have expired: what they no longer allow ends at once, also in commands
    // that run.
    void revise(broker::Broker& broker);
    struct Used {
        std::vector<std::string> hosts;    // "packages.example:443", each once
        std::vector<std::string> notices;  // refusals, one line each, each once; a few of many
        bool budget_exhausted = false;
    };
    // Asks the gateway for what it has yet to say of the world's command, which has ended. Does not
    // wait; the result is for take_used(). 0: there is nobody to ask, or nothing to be told.
    std::uint64_t ask_used(const std::string& world);
    // What the command has used, and forgets it. Waits for the answer, a second at most.
    Used take_used(const std::string& world, std::uint64_t asked);

  private:
    struct Attribution {
        Command command;
        Used used;
    };
    // Of a world's kernel.
    struct Rules {
        sys::UniqueFd socket;
        std::string table;
    };
    // What the gateway has been told of a world.
    struct Known {
        std::string rules;
        egress::ActivityWatch activity;
        std::string agent;
        std::optional<std::uint64_t> agent_bytes;
        bool kernel = false;  // it has a veth pair
    };
    void tell_command(const std::string& world, Known& known, const Command& command);
    Result<> await_sets(std::unique_lock<std::mutex>& lock, const std::string& world);
    void forget(const std::string& world);
    static void add_refused(Counts& counts, const Rules& rules);
    Result<> send_rules(const std::string& world, Known& known, const std::string& rules);
    broker::ToolHosts::Read presets_for(const broker::PolicySet& policies, const std::string& project);
    Result<> start(std::unique_lock<std::mutex>& lock);
    Result<> send(const std::string& message, const std::string* rules,
                  std::span<const sys::UniqueFd> sockets = {}, int page = -1);
    void listen(int control);
    void take_event(std::string_view text);
    static void note(Attribution& attribution, const GatewayEvent& event);
    void count(const GatewayEvent& event);
    std::uint64_t sync(const std::string& world);

    const Env& env_;
    trace::TraceWriter& trace_;
    std::string program_;
    std::string account_home_;
    broker::ToolHosts tool_hosts_;
    mutable std::mutex mutex_;
    std::condition_variable synced_;
    process::Child child_;
    sys::UniqueFd control_;
    std::thread listener_;
    bool running_ = false;
    std::uint64_t generation_ = 0;
    std::uint64_t asked_ = 0, answered_ = 0;  // syncs
    Counts counts_;
    std::map<std::string, Attribution> attributions_;
    std::map<std::string, Known> known_;  // by world; of the gateway that runs
    std::map<std::string, Rules> rules_;  // by world
    std::string failed_;                  // what the gateway said last that it could not do
    std::map<std::string, std::shared_ptr<const NetworkOrder>> orders_;  // by the policies' hash and presets
};

}  // namespace substrate::supervisor
