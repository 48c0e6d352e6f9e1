#include "supervisor/nested_door.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/cbor.hpp"
#include "codec/event_json.hpp"
#include "model/exit_codes.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "sys/process.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::size_t kFrameHead = 4;
constexpr std::size_t kMaxNotice = 4u << 10;
constexpr int kChunksATurn = 4;
constexpr unsigned kJudgedATurn = 4;  // what else the thread hears must not wait for all of them
constexpr int kMaxAncestors = 64;
constexpr double kNs = 1e9;

// Nobody in a world is a person who could be asked.
class NobodyToAsk final : public Asker {
  public:
    Result<bool> can_ask() override { return false; }
    Result<std::optional<broker::Answer>> ask_approval(const broker::ApprovalQuestion&) override {
        return std::optional<broker::Answer>();
    }
};

Json notices_json(const std::vector<std::string>& notices) {
    Json json = Json::array();
    for (const std::string& notice : notices) json.push_back(escape_bytes(notice.substr(0, kMaxNotice)));
    return json;
}

}  // namespace

NestedDoor::~NestedDoor() {
    if (open_in_all_) *open_in_all_ -= static_cast<unsigned>(visitors_.size());
}

void NestedDoor::open(sys::UniqueFd listener, pid_t init, std::shared_ptr<std::atomic<unsigned>> open_in_all,
                      NestedLimits limits) {
    listener_ = std::move(listener);
    init_ = init;
    open_in_all_ = std::move(open_in_all);
    limits_ = limits;
    tokens_ = limits_.burst;
}

void NestedDoor::stand_on(NestedGround ground) {
    ground_ = std::move(ground);
    judged_ = 0;
    judged_bytes_ = 0;
}

double NestedDoor::tokens_at(std::int64_t now_ns) const {
    const double grown = static_cast<double>(now_ns - filled_ns_) / kNs * limits_.per_second;
    return std::min<double>(limits_.burst, tokens_ + grown);
}

bool NestedDoor::may_come_in(std::int64_t now_ns) const {
    return listener_ && ground_ && visitors_.size() < limits_.open && *open_in_all_ < limits_.open_in_all &&
           tokens_at(now_ns) >= 1;
}

void NestedDoor::add_to(std::vector<pollfd>& polled, std::int64_t now_ns) const {
    if (may_come_in(now_ns)) polled.push_back({listener_.get(), POLLIN, 0});
    for (const Visitor& visitor : visitors_) polled.push_back({visitor.socket.get(), POLLIN, 0});
}

bool NestedDoor::has_work(std::int64_t now_ns) const {
    if (anybody_in()) return true;
    if (!may_come_in(now_ns)) return false;
    const auto waits = sys::wait_readable(listener_.get(), 0);
    return waits && *waits;
}

void NestedDoor::let_in(std::int64_t now_ns) {
    while (may_come_in(now_ns)) {
        auto accepted = sys::accept_stream(listener_.get());
        if (!accepted) return;
        tokens_ = tokens_at(now_ns) - 1;
        filled_ns_ = now_ns;
        // The kernel's word on who connected; what is said inside is never asked for it.
        const auto peer = sys::peer_credentials(accepted->get());
        if (!peer) continue;
        Visitor& visitor = visitors_.emplace_back();
        visitor.socket = std::move(*accepted);
        visitor.pid = peer->pid;
        visitor.came_ns = now_ns;
        ++*open_in_all_;
    }
}

void NestedDoor::serve(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker) {
    const std::int64_t now = machine.env.monotonic_ns();
    const Help help{machine, trace, broker};
    let_in(now);
    const unsigned judged_before = judged_;
    for (auto it = visitors_.begin(); it != visitors_.end();) {
        const bool too_slow = it->depth == 0 && now - it->came_ns > limits_.ask_ns;
        const bool later = it->depth == 0 && judged_ - judged_before >= kJudgedATurn;
        if (!too_slow && (later || hear(help, *it) == Next::stay)) {
            ++it;
            continue;
        }
        if (it->depth != 0) record(machine, trace, *it, std::nullopt);
        it = visitors_.erase(it);
        --*open_in_all_;
    }
}

void NestedDoor::shut(const Machine& machine, trace::TraceWriter& trace) {
    listener_.reset();
    for (Visitor& visitor : visitors_)
        if (visitor.depth != 0) record(machine, trace, visitor, std::nullopt);
    if (open_in_all_) *open_in_all_ -= static_cast<unsigned>(visitors_.size());
    visitors_.clear();
}

NestedDoor::Next NestedDoor::hear(const Help& help, Visitor& visitor) {
    std::array<char, 16 * 1024> buffer;
    for (int chunk = 0; chunk < kChunksATurn; ++chunk) {
        const auto n = sys::receive_now(visitor.socket.get(), buffer);
        if (!n || (*n && **n == 0)) return Next::leave;
        if (!*n) return Next::stay;
        visitor.heard += **n;
        const std::size_t most = visitor.depth == 0 ? kMaxNestedFrame : kMaxNestedEnded;
        if (visitor.heard > most + kFrameHead + buffer.size()) return Next::leave;
        visitor.reader.feed({buffer.data(), **n});
        const auto payload = visitor.reader.take();
        if (!payload) {
            const Json refusal =
                to_json(Error(Errc::invalid,
                              fmt::format("a command line over {} bytes cannot be judged", kMaxNestedFrame)));
            (void)sys::send_now(visitor.socket.get(), frame(to_cbor(refusal)));
            return Next::leave;
        }
        if (*payload) return answer(help, visitor, **payload);
    }
    return Next::stay;
}

NestedDoor::Next NestedDoor::answer(const Help& help, Visitor& visitor, std::string_view payload) {
    visitor.heard = visitor.reader.pending();
    if (visitor.depth != 0) {
        const auto end = nested_end(payload);
        record(help.machine, help.trace, visitor, end ? std::optional(*end) : std::nullopt);
        visitor.depth = 0;
        (void)sys::send_now(visitor.socket.get(), frame(to_cbor(Json{{"type", message::kDone}})));
        return Next::leave;
    }
    const auto answered = judge(help, visitor, payload);
    const Json reply = answered ? *answered : to_json(answered.error());
    const auto sent = sys::send_now(visitor.socket.get(), frame(to_cbor(reply)));
    return sent && visitor.depth != 0 ? Next::stay : Next::leave;
}

// The nested command that `pid` was started by, or by its children and so on; null when it is none's.
const NestedDoor::Visitor* NestedDoor::parent_of(pid_t pid) const {
    for (int step = 0; step < kMaxAncestors; ++step) {
        const auto parent = sys::parent_process(pid);
        if (!parent || *parent <= 1 || *parent == init_) return nullptr;
        pid = *parent;
        for (const Visitor& visitor : visitors_)
            if (visitor.depth != 0 && visitor.pid == pid) return &visitor;
    }
    return nullptr;
}

// For each command that the world runs: the trace has room for what others have done, too.
Result<> NestedDoor::take_from_limits(const Help& help, std::size_t bytes) {
    const bool before = judged_ < limits_.per_command && judged_bytes_ < limits_.bytes_per_command;
    ++judged_;
    judged_bytes_ += bytes;
    if (before) return {};
    const std::string what =
        fmt::format("one command may have {} others judged from inside its world, or {} bytes",
                    limits_.per_command, limits_.bytes_per_command);
    if (judged_ == limits_.per_command + 1) {
        Event event{.type = std::string(event_type::kWarning),
                    .ts_ns = help.machine.env.realtime_ns(),
                    .session_id = ground_->outer.session_id,
                    .span_id = ground_->outer.span_id,
                    .fields = Json::object()};
        event.fields["message"] = what;
        (void)help.trace.append(event);
    }
    return fail(Error(Errc::safety, what).hint("run them outside of this world"));
}

// What only a world of its own could give, or what would loosen this one.
Result<> NestedDoor::check_wishes(const ExecRequest& request) const {
    const Span& outer = ground_->outer;
    constexpr const char* kOutside = "run it outside of this world";
    if (request.ephemeral)
        return fail(Error(Errc::unsupported, "--ephemeral: a world has no worlds inside").hint(kOutside));
    if (request.host_network && outer.enforcement.netns != "host")
        return fail(
            Error(Errc::safety, "--share-network: this world has its own network only").hint(kOutside));
    if (request.capture && *request.capture != outer.capture.final) {
        if (*request.capture == CaptureStrategy::direct)
            return fail(Error(Errc::safety, "--direct: changes in this world are captured").hint(kOutside));
        return fail(
            Error(Errc::unsupported, fmt::format("--capture {}: this world captures by {}",
                                                 to_string(*request.capture), to_string(outer.capture.final)))
                .hint(kOutside));
    }
    if (request.commit > ground_->commit)
        return fail(Error(Errc::unsupported, fmt::format("--commit {}: what is changed in a world is "
                                                         "committed with the command that the world runs",
                                                         to_string(request.commit)))
                        .hint(kOutside));
    return {};
}

// Who presents one has it of the command that the world runs, or has no business here.
Result<> NestedDoor::check_token(const Help& help, ExecRequest& request) const {
    const std::string text = std::exchange(request.scope_token, {});
    if (text.empty()) return {};
    const Span& outer = ground_->outer;
    const auto verified = help.machine.scope_tokens
                              ? help.machine.scope_tokens->verify(text, outer.span_id)
                              : fail({Errc::denied, "the scope token is not accepted: there are none here"});
    // Background processes that outlive their command still have its token: it says nothing any more.
    if (verified || verified.error().code() == Errc::unavailable) return {};
    Event event{.type = std::string(event_type::kWarning),
                .ts_ns = help.machine.env.realtime_ns(),
                .session_id = outer.session_id,
                .span_id = outer.span_id,
                .fields = Json::object()};
    event.fields["message"] = verified.error().message();
    (void)help.trace.append(event);
    return fail(verified.error());
}

void NestedDoor::begin_span(const Machine& machine, Visitor& visitor, const Passage& passage,
                            const std::string& span_id) const {
    const ExecRequest& request = passage.request;
    const Span& outer = ground_->outer;
    Span& span = visitor.span;
    span.started_ns = machine.env.realtime_ns();
    span.span_id = span_id;
    span.session_id = outer.session_id;
    span.parent_span = request.parent_span;
    span.traceparent = request.traceparent;
    span.component = "world";
    span.world_id = outer.world_id;
    span.agent_id = outer.agent_id;
    span.project = outer.project;
    span.cwd = request.cwd;
    span.cmd = request.cmd.empty() ? shell_join(request.argv) : request.cmd;
    span.argv =
        request.argv.empty() ? std::vector<std::string>{request.shell, "-c", request.cmd} : request.argv;
    span.capture = outer.capture;
    span.degraded = outer.degraded;
    span.enforcement = outer.enforcement;
    span.warm = true;
    span.nested_depth = request.nested_depth;
    span.commit = "none";
    span.replay.env = request.env;
    span.replay.umask = request.umask;
    span.replay.cwd = request.cwd;
    span.replay.argv = request.argv;
    span.replay.world_image_version = SUBSTRATE_VERSION;
    fill_decision(span, passage);
    visitor.draft = trace::begin(span);
    visitor.would_deny = passage.would_deny;
    // They are in the draft, and may be long.
    span.cmd = {};
    span.argv = {};
    span.replay = {};
    visitor.started_ns = machine.env.monotonic_ns();
}

Result<Json> NestedDoor::judge(const Help& help, Visitor& visitor, std::string_view payload) {
    SUB_TRY(take_from_limits(help, payload.size()));
    SUB_TRY_ASSIGN(ExecRequest request, nested_request(payload));
    SUB_TRY(check_wishes(request));
    const Span& outer = ground_->outer;
    SUB_TRY(check_token(help, request));
    const Visitor* parent = parent_of(visitor.pid);
    request.nested_depth = parent == nullptr ? 1 : parent->depth + 1;
    if (request.nested_depth > limits_.depth)
        return fail(Error(Errc::safety, fmt::format("more than {} commands inside each other", limits_.depth))
                        .hint("run the command itself"));
    request.parent_span = parent == nullptr ? outer.span_id : parent->span.span_id;
    request.agent_id = outer.agent_id;
    request.governed_by = ground_->governed_by;
    request.profile = ground_->profile;
    request.ephemeral = ground_->ephemeral;
    request.commit = ground_->commit;
    request.capture.reset();
    request.host_network = false;
    NobodyToAsk nobody;
    const std::string span_id = make_span_id(help.machine.env);
    SUB_TRY_ASSIGN(const Passage passage,
                   pass_gate(help.machine, help.trace, help.broker, outer.project, outer.session_id, request,
                             Where::nested, span_id, nobody));
    Json done = {{"type", message::kDone}, {"span_id", span_id}, {"denied", passage.denied}};
    if (passage.denied) {
        const ExecResult recorded =
            record_denial(help.machine, help.trace, outer.project, outer.session_id, passage, span_id);
        done["notices"] = notices_json(recorded.notices);
        return done;
    }
    if (ground_->allowance) SUB_TRY(ground_->allowance->take(span_id));
    begin_span(help.machine, visitor, passage, span_id);
    visitor.depth = request.nested_depth;
    done["timeout_ms"] = passage.request.timeout_ms;
    done["notices"] = notices_json(passage.notices);
    return done;
}

void NestedDoor::record(const Machine& machine, trace::TraceWriter& trace, Visitor& visitor,
                        const std::optional<NestedEnd>& end) {
    Span& span = visitor.span;
    span.ts_ns = machine.env.realtime_ns();
    span.duration_ms = static_cast<double>(machine.env.monotonic_ns() - visitor.started_ns) / 1e6;
    if (end) {
        span.exit = end->exit;
        span.signal = end->signal;
        span.output = end->output;
        span.outcome = end->timed_out     ? Outcome::timeout
                       : end->signal != 0 ? Outcome::killed
                       : end->exit == 0   ? Outcome::ok
                                          : Outcome::failed;
        if (end->timed_out) span.outcome_reason = "runtime";
        const bool plain = span.outcome == Outcome::ok || span.outcome == Outcome::failed;
        if (visitor.would_deny && plain) span.outcome = Outcome::would_deny;
    } else {
        // Nobody has said how it ended: whoever asked went away first.
        span.signal = 9;
        span.exit = 128 + span.signal;
        span.outcome = Outcome::killed;
    }
    // What cannot be written here has nobody to tell: the outer command's own span says the same.
    (void)trace.append(trace::finish(std::move(visitor.draft), span));
}

}  // namespace substrate::supervisor
