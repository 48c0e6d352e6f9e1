#include <signal.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "codec/object_reader.hpp"
#include "supervisor/network.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"

// What the gateway says, and whether it says anything.
namespace substrate::supervisor {

// One thing that the gateway says; see egress/gateway.hpp.
struct GatewayEvent {
    std::string type, world, host, name, reason, error;
    std::uint16_t port = 0;
    std::uint64_t number = 0, sent = 0, received = 0;
    bool allowed = true, cached = false;
    Json fields;
};

namespace {

constexpr int kLookMs = 5'000, kMostSilences = 3;
constexpr std::string_view kReached = "reached", kPublished = "published";
constexpr std::size_t kMostHosts = 1000, kMostNotices = 5;
constexpr std::size_t kLongestEvent = 64 * 1024;

void add_once(std::vector<std::string>& list, std::string text, std::size_t most) {
    if (list.size() < most && std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
}

std::optional<GatewayEvent> read_event(std::string_view text) {
    auto parsed = parse_json(text);
    if (!parsed || !parsed->is_object()) return std::nullopt;
    GatewayEvent event;
    ObjectReader reader(*parsed);
    reader.string("type", event.type);
    reader.string("world", event.world);
    reader.bytes("host", event.host);
    reader.bytes("name", event.name);
    reader.bytes("reason", event.reason);
    reader.string("error", event.error);
    reader.integer("port", event.port);
    reader.integer("number", event.number);
    reader.integer("bytes_sent", event.sent);
    reader.integer("bytes_received", event.received);
    reader.boolean("allowed", event.allowed);
    reader.boolean("cached", event.cached);
    event.fields = std::move(*parsed);
    return event;
}

}  // namespace

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
    std::optional<GatewayEvent> said = read_event(text);
    if (!said) return;
    Event event{
        .type = said->type, .ts_ns = env_.realtime_ns(), .session_id = {}, .span_id = {}, .fields = {}};
    {
        const std::scoped_lock lock(mutex_);
        if (said->type == "sync") {
            answered_ = std::max(answered_, said->number);
            synced_.notify_all();
            return;
        }
        if (said->type == "failed") failed_ = said->error;
        const auto found = attributions_.find(said->world);
        if (found != attributions_.end()) {
            event.session_id = found->second.command.session;
            event.span_id = found->second.command.span;
            note(found->second, *said);
        }
        count(*said);
        // The record of the first comes at its end; the others are of nobody's command.
        if (said->type == kReached || said->type == kPublished) return;
    }
    event.fields = std::move(said->fields);
    event.fields.erase("type");
    event.fields.erase("world");
    event.fields["world_id"] = said->world;
    // What cannot be recorded was still decided; the next span's own record says what is wrong.
    (void)trace_.append(event);
}

// For the metrics.
void Network::count(const GatewayEvent& event) {
    const bool failed = event.allowed && !event.error.empty();
    if (event.type == event_type::kRateLimit) ++counts_.budgets;
    if (event.type == kPublished) {
        ++counts_.published;
        counts_.published_bytes += event.sent + event.received;
    } else if (event.type == event_type::kNetConnect) {
        ++counts_.connections;
        if (!event.allowed) ++counts_.refused;
        if (failed) ++counts_.failed;
        counts_.sent += event.sent;
        counts_.received += event.received;
    } else if (event.type == event_type::kDnsQuery) {
        ++counts_.names;
        if (event.cached) ++counts_.names_known;
        if (!event.allowed) ++counts_.names_refused;
        if (failed) ++counts_.names_failed;
    }
}

// What the span and the person are told.
void Network::note(Attribution& attribution, const GatewayEvent& event) {
    Used& used = attribution.used;
    if (event.type == event_type::kRateLimit) {
        used.budget_exhausted = true;
        add_once(used.notices, "network: the budget of bytes is used up", kMostNotices);
        return;
    }
    const bool connection = event.type == event_type::kNetConnect;
    const std::string where =
        event.type == kReached || connection ? event.host + ":" + std::to_string(event.port) : event.name;
    // Also of one that was ended later: something has passed.
    const bool reached =
        event.type == kReached || (connection && (event.allowed || event.sent + event.received > 0));
    if (reached) add_once(used.hosts, where, kMostHosts);
    if (event.allowed) return;
    add_once(used.notices, "network: " + printable(where) + " refused: " + printable(event.reason),
             kMostNotices);
}

}  // namespace substrate::supervisor
