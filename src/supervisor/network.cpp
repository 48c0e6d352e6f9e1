#include "supervisor/network.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "codec/object_reader.hpp"
#include "egress/access_rules.hpp"
#include "sys/file.hpp"
#include "sys/internet_socket.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"
#include "world/uplink_rules.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kGatewayControl = 3;
constexpr std::chrono::seconds kPatience{1};
constexpr int kLookMs = 5'000, kMostSilences = 3;
constexpr time_t kSendSecs = 1;
constexpr std::size_t kMostOrders = 64;
constexpr std::string_view kReached = "reached", kPublished = "published";  // of the gateway's events
constexpr std::size_t kMostHosts = 1000, kMostNotices = 5;
constexpr const char* kCounted = "a budget of bytes is counted by the gateway only";
constexpr std::size_t kLongestEvent = 64 * 1024;

void add_once(std::vector<std::string>& list, std::string text, std::size_t most) {
    if (list.size() < most && std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
}

// The gateway's program, with `fds` from descriptor 3 on.
Result<process::Child> spawn_gateway(const std::string& program, std::string word,
                                     const std::vector<int>& fds) {
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    std::string name = "substrate-gateway";
    std::array<char*, 3> argv = {name.data(), word.empty() ? nullptr : word.data(), nullptr};
    std::array<char*, 1> no_environment = {nullptr};
    process::ChildPlan child;
    child.program = program.c_str();
    child.argv = argv.data();
    child.envp = no_environment.data();
    std::vector<int> sources(kGatewayControl, null.get());
    sources.insert(sources.end(), fds.begin(), fds.end());
    for (const int source : sources) {
        child.placements[child.placement_count] = {source, static_cast<int>(child.placement_count)};
        ++child.placement_count;
    }
    child.death_signal = SIGKILL;
    child.new_session = true;
    return process::spawn(child, {});
}

// It keeps nothing that would be lost, and may be unable to end by itself.
void end(const process::Child& child) {
    if (!child.pidfd) return;
    (void)sys::send_signal(child.pid, SIGKILL);
    (void)process::wait_for(child);
}

// One that is in use is the common case, and has a sentence of its own.
Result<std::vector<sys::UniqueFd>> listen_on_loopback(std::uint16_t port) {
    std::vector<sys::UniqueFd> listeners;
    for (const char* address : {"127.0.0.1", "::1"}) {
        auto listener = sys::listen_tcp(*IpAddress::parse(address), port);
        if (listener) {
            listeners.push_back(std::move(*listener));
            continue;
        }
        const int code = listener.error().os_errno();
        if (code == EADDRINUSE)
            return fail(Error(Errc::conflict, "port " + std::to_string(port) + " is in use on this machine")
                            .hint("end who listens there, or let the server in the world listen at another"));
        // A machine without IPv6.
        if (listeners.empty() || (code != EADDRNOTAVAIL && code != EAFNOSUPPORT))
            return fail(std::move(listener).error());
    }
    return listeners;
}

void open_nothing(std::vector<Policy>& layers) {
    for (Policy& layer : layers) layer.net.allowed.emplace();
}

}  // namespace

NetworkGrants network_grants(const std::vector<broker::ScopeGrantPtr>& grants) {
    NetworkGrants made;
    for (const broker::ScopeGrantPtr& grant : grants) {
        if (grant->scope.kind != broker::ScopeKind::net) continue;
        made.agent_id = grant->agent_id;
        made.hosts.push_back(grant->scope.value);
    }
    return made;
}

std::vector<Policy> network_layers(const broker::PolicySet& policies,
                                   const std::vector<std::string>& granted) {
    std::vector<Policy> layers;
    for (const broker::Layer& layer : policies.layers()) {
        layers.push_back(layer.policy);
        auto& allowed = layers.back().net.allowed;
        if (layer.role == broker::LayerRole::managed) {
            // What binds the whole machine need not say what each project reaches.
            if (!allowed) allowed = std::vector<std::string>{"*"};
        } else if (!granted.empty()) {
            if (!allowed) allowed.emplace();
            allowed->insert(allowed->end(), granted.begin(), granted.end());
        }
    }
    if (policies.net_path() == NetPath::none) open_nothing(layers);
    return layers;
}

std::shared_ptr<const NetworkOrder> network_order(const broker::PolicySet& policies,
                                                  const policy::PresetHosts& presets,
                                                  const NetworkGrants& grants) {
    if (!policies.isolate_network()) return nullptr;
    auto order = std::make_shared<NetworkOrder>();
    order->rules = egress::AccessRules::write(network_layers(policies, grants.hosts), presets);
    const auto rules = egress::AccessRules::read(order->rules);
    if (!rules || rules->closed()) return nullptr;
    order->networks = rules->networks();
    order->problems = rules->problems();
    const bool counted =
        rules->total_bytes() != 0 || rules->command_bytes() != 0 || rules->bytes_per_sec() != 0;
    order->veth = policies.net_path() == NetPath::veth && !counted;
    if (policies.net_path() == NetPath::veth && counted) order->no_veth = kCounted;
    order->granted_to = grants.agent_id;
    return order;
}

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
    end(child_);
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
    if (order && order->veth && by_gateway) {
        auto changed = std::make_shared<NetworkOrder>(*order);
        changed->veth = false;
        changed->no_veth = kCounted;
        order = std::move(changed);
    }
    return orders_[key] = std::move(order);
}

Result<> Network::start(std::unique_lock<std::mutex>& lock) {
    if (running_) return {};
    if (listener_.joinable()) {
        // It has noticed that the earlier gateway is gone, or is about to.
        lock.unlock();
        listener_.join();
        lock.lock();
        end(child_);
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
    if (network_->running_ && network_->generation_ == generation_) network_->forget(world_);
}

void Network::forget(const std::string& world) {
    known_.erase(world);
    const Json message{{"type", "close"}, {"world", world}};
    // A gateway that cannot be told is gone, and so is what it served.
    (void)send(dump_json(message), nullptr);
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

Network::Published::Published(std::shared_ptr<Network> network, std::string world, std::uint16_t port,
                              process::Child maker, std::uint64_t generation)
    : network_(std::move(network)),
      world_(std::move(world)),
      port_(port),
      maker_(std::move(maker)),
      generation_(generation) {}

Network::Published::~Published() {
    {
        const std::scoped_lock lock(network_->mutex_);
        const Json message{{"type", "unpublish"}, {"world", world_}, {"port", port_}};
        // A gateway that cannot be told is gone, and its listeners with it.
        if (network_->running_ && network_->generation_ == generation_)
            (void)network_->send(dump_json(message), nullptr);
    }
    end(maker_);
}

bool Network::Published::alive() const {
    const auto ended = sys::wait_readable(maker_.pidfd.get(), 0);
    const std::scoped_lock lock(network_->mutex_);
    return ended && !*ended && network_->running_ && network_->generation_ == generation_;
}

Result<std::unique_ptr<Network::Published>> Network::publish(std::shared_ptr<Network> network,
                                                             const std::string& world, std::uint16_t port,
                                                             const process::Child& init) {
    SUB_TRY_ASSIGN(std::vector<sys::UniqueFd> sockets, listen_on_loopback(port));
    SUB_TRY_ASSIGN(sys::SocketPair pair, sys::make_seqpacket_pair());
    auto maker =
        spawn_gateway(network->program_, std::to_string(init.pid), {pair.theirs.get(), init.pidfd.get()});
    if (!maker) return fail(std::move(maker).error().during("making sockets in the world's network"));
    sockets.insert(sockets.begin(), std::move(pair.ours));
    std::unique_lock lock(network->mutex_);
    auto sent = network->start(lock);
    const Json message{{"type", "publish"}, {"world", world}, {"port", port}};
    if (sent) sent = network->send(dump_json(message), nullptr, sockets);
    if (!sent) {
        end(*maker);
        return fail(std::move(sent).error());
    }
    const std::uint64_t generation = network->generation_;
    lock.unlock();
    return std::make_unique<Published>(std::move(network), world, port, std::move(*maker), generation);
}

Network::Counts Network::counts() const {
    const std::scoped_lock lock(mutex_);
    Counts counts = counts_;
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

void Network::listen(int control) {
    std::vector<char> buffer(kLongestEvent);
    // One that is asked and says nothing at all keeps whoever connects to it waiting; its end resets them,
    // and the next command has another.
    int silences = 0;
    for (;;) {
        if (const auto speaks = sys::wait_readable(control, kLookMs); !speaks || !*speaks) {
            const std::scoped_lock lock(mutex_);
            if (known_.empty()) continue;
            if (++silences > kMostSilences) (void)sys::send_signal(child_.pid, SIGKILL);
            (void)sync("");
            continue;
        }
        silences = 0;
        const auto received = sys::receive_message(control, buffer);
        if (!received || received->size == 0) break;
        take_event(std::string_view(buffer.data(), received->size));
    }
    const std::scoped_lock lock(mutex_);
    running_ = false;
    known_.clear();
    synced_.notify_all();
}

void Network::take_event(std::string_view text) {
    const auto parsed = parse_json(text);
    if (!parsed || !parsed->is_object()) return;
    Json fields = *parsed;
    std::string type, world;
    std::uint64_t number = 0;
    ObjectReader reader(*parsed);
    reader.string("type", type);
    reader.string("world", world);
    reader.integer("number", number);
    Event event{.type = type, .ts_ns = env_.realtime_ns(), .session_id = {}, .span_id = {}, .fields = {}};
    {
        const std::scoped_lock lock(mutex_);
        if (type == "sync") {
            answered_ = std::max(answered_, number);
            synced_.notify_all();
            return;
        }
        if (type == "failed") ObjectReader(*parsed).string("error", failed_);
        const auto found = attributions_.find(world);
        if (found != attributions_.end()) {
            event.session_id = found->second.command.session;
            event.span_id = found->second.command.span;
            note(found->second, fields);
        }
        count(fields);
        // The record of the first comes at its end; the others are of nobody's command.
        if (type == kReached || type == kPublished) return;
    }
    fields.erase("type");
    fields.erase("world");
    fields["world_id"] = world;
    event.fields = std::move(fields);
    // What cannot be recorded was still decided; the next span's own record says what is wrong.
    (void)trace_.append(event);
}

// For the metrics.
void Network::count(const Json& event) {
    std::string type, error;
    bool allowed = true, cached = false;
    std::uint64_t sent = 0, received = 0;
    ObjectReader reader(event);
    reader.string("type", type);
    reader.string("error", error);
    reader.boolean("allowed", allowed);
    reader.boolean("cached", cached);
    reader.integer("bytes_sent", sent);
    reader.integer("bytes_received", received);
    if (type == event_type::kRateLimit) ++counts_.budgets;
    if (type == kPublished) {
        ++counts_.published;
        counts_.published_bytes += sent + received;
    } else if (type == event_type::kNetConnect) {
        ++counts_.connections;
        if (!allowed) ++counts_.refused;
        else if (!error.empty()) ++counts_.failed;
        counts_.sent += sent;
        counts_.received += received;
    } else if (type == event_type::kDnsQuery) {
        ++counts_.names;
        if (cached) ++counts_.names_known;
        if (!allowed) ++counts_.names_refused;
        else if (!error.empty()) ++counts_.names_failed;
    }
}

// What the span and the person are told.
void Network::note(Attribution& attribution, const Json& event) const {
    std::string type, host, name, reason, error;
    std::uint16_t port = 0;
    std::uint64_t sent = 0, received = 0;
    bool allowed = true;
    ObjectReader reader(event);
    reader.string("type", type);
    reader.bytes("host", host);
    reader.bytes("name", name);
    reader.bytes("reason", reason);
    reader.string("error", error);
    reader.integer("port", port);
    reader.integer("bytes_sent", sent);
    reader.integer("bytes_received", received);
    reader.boolean("allowed", allowed);
    if (type == event_type::kRateLimit) {
        attribution.used.budget_exhausted = true;
        add_once(attribution.used.notices, "network: the budget of bytes is used up", kMostNotices);
        return;
    }
    const std::string where =
        type == kReached || type == event_type::kNetConnect ? host + ":" + std::to_string(port) : name;
    // Also of one that was ended later: something has passed.
    const bool reached =
        type == kReached || (type == event_type::kNetConnect && (allowed || sent + received > 0));
    if (reached) add_once(attribution.used.hosts, where, kMostHosts);
    if (allowed) return;
    add_once(attribution.used.notices, "network: " + printable(where) + " refused: " + printable(reason),
             kMostNotices);
}

}  // namespace substrate::supervisor
