#include "supervisor/network.hpp"

#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "codec/json_value.hpp"
#include "egress/access_rules.hpp"
#include "supervisor/gateway_process.hpp"
#include "sys/file.hpp"
#include "sys/nft.hpp"
#include "sys/socket.hpp"
#include "world/uplink_rules.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::chrono::seconds kPatience{1};
constexpr time_t kSendSecs = 1;
constexpr std::size_t kMostOrders = 64;

}  // namespace

Network::Network(const Env& env, trace::TraceWriter& trace, std::string gateway_program,
                 broker::Places places)
    : env_(env),
      trace_(trace),
      program_(std::move(gateway_program)),
      account_home_(places.home),
      tool_hosts_(std::move(places)) {}

Network::~Network() {
    // The gateway ends at the end of its socket, and the listener with it.
    if (control_) (void)::shutdown(control_.get(), SHUT_RDWR);
    if (listener_.joinable()) listener_.join();
    end_gateway(child_);
}

std::shared_ptr<const NetworkOrder> Network::order_for(const broker::PolicySet& policies,
                                                       const std::string& project,
                                                       const NetworkGrants& grants, bool counted) {
    const broker::ToolHosts::Read presets = presets_for(policies, project);
    const bool by_gateway = counted && policies.net_path() == NetPath::veth;
    std::string key = (by_gateway ? "counted " : "") + policies.hash() + presets.fingerprint;
    if (!grants.hosts.empty()) key += '\n' + grants.agent_id;
    for (const std::string& host : grants.hosts) key += '\n' + host;
    const std::scoped_lock lock(mutex_);
    const auto known = orders_.find(key);
    if (known != orders_.end()) return known->second;
    if (orders_.size() >= kMostOrders) orders_.clear();
    auto order = network_order(policies, presets.hosts, grants);
    if (order && by_gateway) order = supervisor::counted(*order);
    return orders_[key] = std::move(order);
}

Result<> Network::start(std::unique_lock<std::mutex>& lock) {
    if (running_) return {};
    if (listener_.joinable()) {
        // It has noticed that the earlier gateway is gone, or is about to.
        lock.unlock();
        listener_.join();
        lock.lock();
        end_gateway(child_);
        child_ = {};
    }
    SUB_TRY_ASSIGN(sys::SocketPair control, sys::make_seqpacket_pair());
    // One that does not read must not keep us, who would have to end it.
    const timeval limit{.tv_sec = kSendSecs, .tv_usec = 0};
    if (::setsockopt(control.ours.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return fail(Error::last_os("SO_SNDTIMEO"));
    auto started = spawn_gateway(program_, {}, {control.theirs.get()});
    if (!started)
        return fail(std::move(started).error().during("starting the gateway of the worlds' network"));
    child_ = std::move(*started);
    ++counts_.gateways;
    answered_ = asked_;
    control_ = std::move(control.ours);
    running_ = true;
    ++generation_;
    listener_ = std::thread([this, fd = control_.get()] { listen(fd); });
    return {};
}

Result<> Network::send(const std::string& message, const std::string* rules,
                       std::span<const sys::UniqueFd> sockets, int page) {
    std::vector<int> fds;
    sys::UniqueFd memory;
    if (rules != nullptr) {
        SUB_TRY_ASSIGN(memory, sys::make_memfd("substrate-net-rules", *rules));
        fds.push_back(memory.get());
    }
    for (const sys::UniqueFd& socket : sockets) fds.push_back(socket.get());
    if (page >= 0) fds.push_back(page);
    return sys::send_message(control_.get(), message, fds);
}

Result<std::unique_ptr<Network::Served>> Network::serve(std::shared_ptr<Network> network,
                                                        const std::string& world,
                                                        const std::shared_ptr<const NetworkOrder>& order,
                                                        const std::vector<sys::UniqueFd>& sockets,
                                                        const std::optional<Kernel>& kernel) {
    std::uint64_t generation = 0;
    SUB_TRY_ASSIGN(auto activity, egress::ActivityWatch::make(sockets));
    {
        std::unique_lock lock(network->mutex_);
        SUB_TRY(network->start(lock));
        Json message{{"type", "open"}, {"world", world}};
        if (kernel) {
            message["table"] = kernel->table;
            message["networks"] = {world::kNetworkSets[0], world::kNetworkSets[1]};
            message["names"] = {world::kNameSets[0], world::kNameSets[1]};
            message["ipv6"] = kernel->ipv6;
        }
        SUB_TRY(network->send(dump_json(message), &order->rules, sockets, activity.second.get()));
        generation = network->generation_;
        Known known{.rules = order->rules,
                    .activity = std::move(activity.first),
                    .agent = {},
                    .agent_bytes = {},
                    .kernel = kernel.has_value()};
        Known& kept = network->known_.insert_or_assign(world, std::move(known)).first->second;
        if (const auto whose = network->attributions_.find(world); whose != network->attributions_.end())
            network->tell_command(world, kept, whose->second.command);
        if (kernel)
            if (auto filled = network->await_sets(lock, world); !filled) {
                network->forget(world);
                return fail(std::move(filled).error());
            }
    }
    return std::make_unique<Served>(std::move(network), world, generation);
}

// The gateway takes one order after the other: what it answers now it has seen after the sets.
Result<> Network::await_sets(std::unique_lock<std::mutex>& lock, const std::string& world) {
    const std::uint64_t number = ++asked_;
    failed_.clear();
    SUB_TRY(send(dump_json({{"type", "sync"}, {"number", number}, {"world", world}}), nullptr));
    const bool answered = synced_.wait_for(lock, kPatience, [&] { return answered_ >= number || !running_; });
    if (!answered || !running_)
        return fail({Errc::unavailable, "the gateway does not fill the world's sets"});
    if (!failed_.empty()) return fail({Errc::unavailable, "the gateway: " + failed_});
    return {};
}

Network::Served::Served(std::shared_ptr<Network> network, std::string world, std::uint64_t generation)
    : network_(std::move(network)), world_(std::move(world)), generation_(generation) {}

Network::Served::~Served() {
    const std::scoped_lock lock(network_->mutex_);
    network_->attributions_.erase(world_);
    if (const auto rules = network_->rules_.find(world_); rules != network_->rules_.end()) {
        add_refused(network_->counts_, rules->second);
        network_->rules_.erase(rules);
    }
    if (network_->running_ && network_->generation_ == generation_) network_->forget(world_);
}

void Network::forget(const std::string& world) {
    known_.erase(world);
    const Json message{{"type", "close"}, {"world", world}};
    // A gateway that cannot be told is gone, and so is what it served.
    (void)send(dump_json(message), nullptr);
}

void Network::Served::count_refused(sys::UniqueFd rules, std::string table) {
    const std::scoped_lock lock(network_->mutex_);
    network_->rules_.insert_or_assign(world_, Rules{std::move(rules), std::move(table)});
}

// The socket keeps the network, and with it the rules, also behind the world's end.
void Network::add_refused(Counts& counts, const Rules& rules) {
    const auto refused = sys::refused_packets(rules.socket.get(), rules.table, world::kRefusingChain);
    if (!refused) return;  // of a world that lost its rules nothing passes
    counts.dropped += refused->packets;
    counts.dropped_bytes += refused->bytes;
}

bool Network::Served::alive() const {
    const std::scoped_lock lock(network_->mutex_);
    return network_->running_ && network_->generation_ == generation_;
}

Result<> Network::Served::change(const std::shared_ptr<const NetworkOrder>& order) {
    std::unique_lock lock(network_->mutex_);
    const auto known = network_->known_.find(world_);
    // A gateway that is gone lets nothing pass.
    if (known == network_->known_.end() || known->second.rules == order->rules) return {};
    const bool kernel = known->second.kernel;
    SUB_TRY(network_->send_rules(world_, known->second, order->rules));
    // What the gateway holds itself it knows before the next connection.
    return kernel ? network_->await_sets(lock, world_) : Result<>();
}

Result<> Network::send_rules(const std::string& world, Known& known, const std::string& rules) {
    if (known.rules == rules) return {};
    const Json message{{"type", "rules"}, {"world", world}};
    SUB_TRY(send(dump_json(message), &rules));
    known.rules = rules;
    return {};
}

Network::Counts Network::counts() const {
    const std::scoped_lock lock(mutex_);
    Counts counts = counts_;
    for (const auto& [world, rules] : rules_) add_refused(counts, rules);
    counts.worlds = running_ ? known_.size() : 0;
    return counts;
}

void Network::revise(broker::Broker& broker) {
    std::map<std::string, Command> worlds;
    {
        const std::scoped_lock lock(mutex_);
        for (const auto& [world, known] : known_)
            if (const auto whose = attributions_.find(world); whose != attributions_.end())
                worlds.emplace(world, whose->second.command);
    }
    for (const auto& [world, command] : worlds) {
        const auto in_force = broker.in_force(command.directory, command.project, command.profile);
        // A policy that cannot be read changes nothing; one that shares the host's network is for other
        // worlds.
        if (!in_force.set || !in_force.set->isolate_network()) continue;
        const NetworkGrants grants =
            network_grants(broker.grants().of(command.agent, command.project, in_force.set->hash()));
        std::vector<Policy> layers = network_layers(*in_force.set, grants.hosts);
        const auto presets = presets_for(*in_force.set, command.project).hosts;
        const std::scoped_lock lock(mutex_);
        const auto known = known_.find(world);
        // A gateway that cannot be told is gone, and nothing passes.
        if (known == known_.end()) continue;
        // What it has is more than the policies want it to have now; the next command gets another world.
        if (known->second.kernel && in_force.set->net_path() != NetPath::veth) open_nothing(layers);
        (void)send_rules(world, known->second, egress::AccessRules::write(layers, presets));
    }
}

broker::ToolHosts::Read Network::presets_for(const broker::PolicySet& policies, const std::string& project) {
    if (!policies.isolate_network() || !broker::ToolHosts::wanted(policies)) return {};
    return *tool_hosts_.read(broker::command_reach(policies, project, account_home_));
}

void Network::attribute(const std::string& world, Command command) {
    const std::scoped_lock lock(mutex_);
    if (const auto known = known_.find(world); known != known_.end())
        tell_command(world, known->second, command);
    attributions_[world] = {std::move(command), {}};
}

// What goes on already is told by a message, since the gateway looks at the page when something new begins.
void Network::tell_command(const std::string& world, Known& known, const Command& command) {
    const bool news = known.agent != command.agent || known.agent_bytes != command.agent_bytes;
    if (news || known.activity.stirred()) {
        Json message{{"type", "agent"}, {"world", world}, {"agent", command.agent}};
        if (command.agent_bytes) message["agent_bytes"] = *command.agent_bytes;
        // A gateway that cannot be told is gone, and nothing passes.
        (void)send(dump_json(message), nullptr);
        known.agent = command.agent;
        known.agent_bytes = command.agent_bytes;
    }
    known.activity.begin_command();
}

std::uint64_t Network::ask_used(const std::string& world) {
    const std::scoped_lock lock(mutex_);
    const auto known = known_.find(world);
    if (known == known_.end() || !known->second.activity.stirred()) return 0;
    return sync(world);
}

std::uint64_t Network::sync(const std::string& world) {
    const std::uint64_t number = asked_ + 1;
    const Json message{{"type", "sync"}, {"number", number}, {"world", world}};
    if (!send(dump_json(message), nullptr)) return 0;
    return asked_ = number;
}

Network::Used Network::take_used(const std::string& world, std::uint64_t asked) {
    std::unique_lock lock(mutex_);
    (void)synced_.wait_for(lock, kPatience, [&] { return answered_ >= asked || !running_; });
    const auto found = attributions_.find(world);
    return found == attributions_.end() ? Used{} : std::exchange(found->second.used, {});
}

}  // namespace substrate::supervisor
