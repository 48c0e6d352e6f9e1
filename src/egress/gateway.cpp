#include "egress/gateway.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/text.hpp"
#include "codec/object_reader.hpp"
#include "egress/gateway_world.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"

namespace substrate::egress {
namespace {

constexpr rlim_t kDescriptorsEach = 6;  // of one connection: two sockets, two pipes
constexpr std::size_t kMostRules = 16u << 20;
constexpr std::size_t kMostUnsent = 10'000;
constexpr std::int64_t kRestMs = 100;
constexpr std::int64_t kAgentWindowNs = 3'600'000'000'000;
constexpr const char* kUsedUp = "the budget of bytes is used up";

}  // namespace

void put_verdict(Json& event, const policy::NetVerdict& verdict) {
    event["allowed"] = verdict.allowed;
    event["policy_id"] = verdict.policy_id;
    event["rule"] = verdict.rule;
    put_bytes(event, "pattern", verdict.pattern);
    put_bytes(event, "reason", verdict.reason);
}

Gateway::Gateway(EventLoop loop, sys::UniqueFd control, const NameTable::Networks& named_networks)
    : loop_(std::move(loop)), control_(std::move(control)), named_networks_(named_networks) {}

Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::make(sys::UniqueFd control,
                                               const NameTable::Networks& named_networks) {
    SUB_TRY_ASSIGN(EventLoop loop, EventLoop::make());
    std::unique_ptr<Gateway> gateway(new Gateway(std::move(loop), std::move(control), named_networks));
    SUB_TRY_ASSIGN(gateway->names_, NameCache::make(gateway->loop_));
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0)
        gateway->most_connections_ =
            std::min<rlim_t>(kMostConnections, std::max<rlim_t>(files.rlim_cur / (2 * kDescriptorsEach), 1));
    Gateway* self = gateway.get();
    SUB_TRY(self->loop_.watch(self->control_.get(), EPOLLIN, [self](std::uint32_t events) {
        if ((events & EPOLLOUT) != 0) self->send_waiting();
        if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) self->hear();
    }));
    return gateway;
}

Result<> Gateway::run() { return loop_.run(); }

void Gateway::hear() { (void)hear_one(); }

bool Gateway::hear_one() {
    std::array<char, 4096> buffer{};
    auto received = sys::receive_message(control_.get(), buffer);
    if (!received || received->size == 0) {
        loop_.stop();
        return false;
    }
    if (auto done = take_order(std::string_view(buffer.data(), received->size), std::move(received->fds));
        !done)
        say({{"type", "failed"}, {"error", done.error().message()}});
    return true;
}

// The page says at once that a command has begun; what else the agent has ordered before that is in the
// socket.
bool Gateway::stir(World& world) {
    world.activity.stir();
    const std::uint64_t commands = world.activity.commands();
    if (commands == world.command) return true;
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    for (auto more = sys::wait_readable(control_.get(), 0); more && *more;
         more = sys::wait_readable(control_.get(), 0))
        if (!hear_one()) break;
    const auto alive = weak.lock();
    if (!alive) return false;
    if (alive->command != commands) {
        alive->command = commands;
        begin_command(*alive);
    }
    return true;
}

Result<> Gateway::take_order(std::string_view text, std::vector<sys::UniqueFd> fds) {
    SUB_TRY_ASSIGN(const Json order, parse_json(text));
    std::string type, id;
    std::uint64_t number = 0;
    ObjectReader reader(order);
    reader.require("type");
    reader.string("type", type);
    reader.string("world", id);
    reader.integer("number", number);
    std::string agent;
    std::uint64_t agent_bytes = 0;
    const bool agent_limited = reader.find("agent_bytes") != nullptr;
    reader.string("agent", agent);
    reader.integer("agent_bytes", agent_bytes);
    std::optional<KernelPath::Names> sets;
    bool ipv6 = false;
    if (reader.find("table") != nullptr) {
        sets.emplace();
        reader.string("table", sets->table);
        reader.bytes("networks", sets->networks);
        reader.bytes("names", sets->names);
        reader.boolean("ipv6", ipv6);
    }
    std::uint16_t port = 0;
    reader.integer("port", port);
    SUB_TRY(reader.finish());
    if (type == "agent") {
        if (const auto known = worlds_.find(id); known != worlds_.end()) {
            World& world = *known->second;
            world.agent = agent;
            world.agent_bytes = agent_limited ? std::optional(agent_bytes) : std::nullopt;
            world.command = world.activity.commands();
            begin_command(world);
        }
        return {};
    }
    if (type == "close") {
        close_world(id);
        return {};
    }
    if (type == "publish") return publish(id, port, std::move(fds));
    if (type == "unpublish") {
        published_.erase({id, port});
        return {};
    }
    if (type == "sync") {
        // What was ready with it is handled in this round, before any timer.
        loop_.after_ms(0, [this, number, id] {
            if (const auto known = worlds_.find(id); known != worlds_.end()) {
                tell_reached(*known->second);
                const World& world = *known->second;
                const bool open = std::ranges::any_of(world.connections,
                                                      [](const auto& each) { return !each.second->ended(); });
                if (!open && world.waiting == 0) known->second->activity.rest();
            }
            say({{"type", "sync"}, {"number", number}});
        });
        return {};
    }
    if (fds.empty()) return fail({Errc::invalid, "no rules came with '" + printable(type) + "'"});
    SUB_TRY_ASSIGN(const std::string bytes, sys::read_to_end(fds.front().get(), kMostRules));
    SUB_TRY_ASSIGN(AccessRules rules, AccessRules::read(bytes));
    fds.erase(fds.begin());
    const auto known = worlds_.find(id);
    if (type == "rules") {
        if (known != worlds_.end()) apply_rules(*known->second, std::move(rules));
        return {};
    }
    if (type != "open" || known != worlds_.end() || fds.size() < kSockets + 1 ||
        fds.size() > kMostSockets + 1)
        return fail({Errc::invalid, "an order that makes no sense: '" + printable(type) + "'"});
    SUB_TRY_ASSIGN(ActivityNote activity, ActivityNote::open(fds.back().get()));
    fds.pop_back();
    return open_world(id, std::move(rules), std::move(fds), std::move(activity), std::move(sets), ipv6);
}

Result<> Gateway::open_world(const std::string& id, AccessRules rules, std::vector<sys::UniqueFd> sockets,
                             ActivityNote activity, std::optional<KernelPath::Names> sets, bool ipv6) {
    auto world = std::make_shared<World>(loop_, id, std::move(rules), named_networks_, std::move(sockets),
                                         std::move(activity));
    World* served = world.get();
    world->ipv6 = sets ? ipv6 : world->sockets.size() > kSockets;
    const bool by_kernel = sets.has_value();
    if (by_kernel) SUB_TRY(open_kernel_path(*world, *std::move(sets)));
    for (const std::size_t place : {std::size_t{0}, kSockets}) {
        if (by_kernel || place >= served->sockets.size()) continue;
        const int listener = served->sockets[place].get();
        SUB_TRY(loop_.watch(listener, EPOLLIN,
                            [this, served, listener](std::uint32_t) { accept(*served, listener); }));
    }
    SUB_TRY(loop_.watch(served->sockets[1].get(), EPOLLIN,
                        [this, served](std::uint32_t) { answer_datagram(*served); }));
    SUB_TRY(loop_.watch(served->sockets[2].get(), EPOLLIN,
                        [this, served](std::uint32_t) { accept_name_client(*served); }));
    worlds_.emplace(id, std::move(world));
    return {};
}

Result<> Gateway::publish(const std::string& world, std::uint16_t port, std::vector<sys::UniqueFd> fds) {
    if (fds.size() < 2) return fail({Errc::invalid, "a port to publish without its sockets"});
    sys::UniqueFd maker = std::move(fds.front());
    fds.erase(fds.begin());
    auto closed = [this, world, port](const ConnectionReport& report) {
        say({{"type", "published"},
             {"world", world},
             {"port", port},
             {"bytes_sent", report.received},
             {"bytes_received", report.sent}});
    };
    SUB_TRY_ASSIGN(auto made,
                   PublishedPort::make(loop_, port, std::move(maker), std::move(fds), std::move(closed)));
    published_[{world, port}] = std::move(made);
    return {};
}

void Gateway::close_world(const std::string& id) {
    const auto known = worlds_.find(id);
    if (known == worlds_.end()) return;
    for (const sys::UniqueFd& socket : known->second->sockets)
        if (socket) loop_.remove(socket.get());
    for (const auto& [fd, client] : known->second->name_clients) {
        loop_.remove(fd);
        loop_.cancel(client.timer);
    }
    names_->forget(id);
    worlds_.erase(known);
}

void Gateway::apply_rules(World& world, AccessRules rules) {
    world.rules = std::move(rules);
    if (world.kernel)
        if (auto done = world.kernel->apply(world.rules); !done)
            say({{"type", "failed"}, {"world", world.id}, {"error", done.error().message()}});
    world.apply_limits();
    std::vector<std::uint64_t> ended;
    const auto allows = [&](const Connection& connection) {
        const Connection::Target& target = connection.target();
        const auto* name = std::get_if<policy::DomainName>(&target.host);
        const auto address = connection.address();
        if (name == nullptr || !address) return world.rules.decide(target.host, target.port).allowed;
        return world.rules.decide_resolved(*name, *address, target.port).allowed;
    };
    for (const auto& [number, connection] : world.connections)
        if (!connection->ended() && !allows(*connection)) ended.push_back(number);
    for (const std::uint64_t number : ended) world.connections.at(number)->refuse("the policy has changed");
}

// Never waits: a supervisor that does not listen must not stop the traffic of worlds.
void Gateway::say(Json event) {
    if (unsent_.size() >= kMostUnsent) {
        ++lost_;
        return;
    }
    if (lost_ > 0) event["lost_before"] = std::exchange(lost_, 0);
    unsent_.push_back(dump_json(event));
    send_waiting();
}

void Gateway::send_waiting() {
    std::size_t sent = 0;
    while (sent < unsent_.size() && ::send(control_.get(), unsent_[sent].data(), unsent_[sent].size(),
                                           MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        ++sent;
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(sent));
    (void)loop_.change(control_.get(), unsent_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void Gateway::accept(World& world, int listener) {
    if (!stir(world)) return;
    for (int i = 0; i < 64; ++i) {
        auto client = sys::accept_tcp(listener);
        if (!client) {
            // Out of descriptors: whoever waits is served when others have ended.
            (void)loop_.change(listener, 0);
            loop_.after_ms(kRestMs, [this, weak = std::weak_ptr(worlds_.at(world.id)), listener] {
                if (weak.lock()) (void)loop_.change(listener, EPOLLIN);
            });
        }
        if (!client || !*client) return;
        const auto to = sys::original_destination(client->get());
        if (!to) {
            // Somebody in the world connects to the gateway itself.
            sys::reset_connection(*client);
            continue;
        }
        connect(world, std::move(*client), *to);
    }
}

// A connection whose server is slow to close has no record yet.
void Gateway::tell_reached(const World& world) {
    for (const auto& [number, connection] : world.connections) {
        if (connection->ended() || connection->bytes() == 0) continue;
        Json event{{"type", "reached"}, {"world", world.id}, {"port", connection->target().port}};
        put_bytes(event, "host", policy::to_text(connection->target().host));
        say(std::move(event));
    }
}

void Gateway::report(World& world, const ConnectionReport& report) {
    Json event{{"type", "net_connect"},
               {"world", world.id},
               {"port", report.port},
               {"bytes_sent", report.sent},
               {"bytes_received", report.received},
               {"error", report.error}};
    put_bytes(event, "host", report.host);
    put_verdict(event, report.verdict);
    say(std::move(event));
    tell_exhausted(world);
}

void Gateway::begin_command(World& world) {
    const std::uint64_t bytes = world.rules.command_bytes();
    world.meter.begin_command(bytes == 0 ? std::nullopt : std::optional(bytes), account_of(world.agent),
                              world.agent_bytes);
    world.budget_told = false;
}

std::shared_ptr<ByteAccount> Gateway::account_of(const std::string& agent) {
    const std::int64_t now = EventLoop::now_ns();
    std::erase_if(agents_, [&](const auto& known) {
        return known.second.since_ns + kAgentWindowNs <= now && known.second.bytes.use_count() == 1;
    });
    AgentAccount& account = agents_[agent];
    if (!account.bytes || account.since_ns + kAgentWindowNs <= now)
        account = {std::make_shared<ByteAccount>(), now};
    return account.bytes;
}

// Once for each command, and then nothing of the world's goes on.
void Gateway::tell_exhausted(World& world) {
    const auto limit = world.meter.exhausted();
    if (!limit || world.budget_told) return;
    world.budget_told = true;
    say({{"type", "rate_limit"}, {"world", world.id}, {"limit", limit->name}, {"bytes", limit->bytes}});
    loop_.after_ms(0, [this, weak = std::weak_ptr(worlds_.at(world.id))] {
        if (const auto still = weak.lock()) end_all(*still, kUsedUp);
    });
}

void Gateway::end_all(World& world, const std::string& why) {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, connection] : world.connections)
        if (!connection->ended()) numbers.push_back(number);
    for (const std::uint64_t number : numbers) world.connections.at(number)->refuse(why);
}

void Gateway::connect(World& world, sys::UniqueFd client, const sys::Endpoint& to) {
    ConnectionReport refused{.host = to.address.text(), .port = to.port, .verdict = {}, .error = {}};
    const auto refuse = [&](policy::NetVerdict verdict) {
        sys::reset_connection(client);
        refused.verdict = std::move(verdict);
        report(world, refused);
    };
    if (world.connections.size() + world.waiting >= most_connections_) {
        refused.verdict.reason = "too many connections at a time";
        return refuse(refused.verdict);
    }
    if (world.meter.exhausted()) {
        refused.verdict.reason = kUsedUp;
        return refuse(refused.verdict);
    }
    if (!world.names.contains(to.address)) {
        policy::NetVerdict verdict = world.rules.decide(to.address, to.port);
        if (!verdict.allowed) return refuse(std::move(verdict));
        return begin(world, std::move(client), {to.address, to.port, {to.address}, std::move(verdict)});
    }
    const auto name = world.names.name_of(to.address);
    if (!name) {
        refused.verdict.reason = "no name was given this address";
        return refuse(refused.verdict);
    }
    refused.host = *name;
    policy::NetVerdict verdict = world.rules.decide(policy::DomainName{*name}, to.port);
    if (!verdict.allowed) return refuse(std::move(verdict));
    connect_named(world, std::move(client), {*name}, to.port);
}

void Gateway::connect_named(World& world, sys::UniqueFd client, const policy::DomainName& name,
                            std::uint16_t port) {
    ++world.waiting;
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    // std::function wants a copy.
    auto held = std::make_shared<sys::UniqueFd>(std::move(client));
    names_->resolve(name.text, world.id, world.rules.name_refresh(), [=, this](Result<Resolved> resolved) {
        const auto alive = weak.lock();
        if (!alive) return;
        World& there = *alive;
        --there.waiting;
        Connection::Target target{name, port, {}, there.rules.decide(name, port)};
        if (resolved)
            for (const IpAddress& address : resolved->addresses) {
                policy::NetVerdict verdict = there.rules.decide_resolved(name, address, port);
                if (verdict.allowed) target.addresses.push_back(address);
                if (verdict.allowed || target.addresses.empty()) target.verdict = std::move(verdict);
            }
        if (target.verdict.allowed && !target.addresses.empty())
            return begin(there, std::move(*held), std::move(target));
        sys::reset_connection(*held);
        report(there, {.host = name.text,
                       .port = port,
                       .verdict = target.verdict,
                       .error = resolved ? (resolved->addresses.empty() ? "resolving: it has no address" : "")
                                         : "resolving: " + resolved.error().message()});
    });
}

void Gateway::begin(World& world, sys::UniqueFd client, Connection::Target target) {
    const std::uint64_t number = world.next_connection++;
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    auto closed = [this, weak, number](const ConnectionReport& what) {
        const auto alive = weak.lock();
        if (!alive) return;
        report(*alive, what);
        // Not while one of its own methods is at work.
        loop_.after_ms(0, [weak, number] {
            if (const auto still = weak.lock()) still->connections.erase(number);
        });
    };
    auto made = std::make_unique<Connection>(loop_, std::move(client), std::move(target), world.meter,
                                             std::move(closed));
    Connection& connection = *made;
    world.connections.emplace(number, std::move(made));
    connection.start();
}

}  // namespace substrate::egress
