#include "supervisor/executor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include "base/text.hpp"
#include "capture/copy_walk.hpp"
#include "model/exit_codes.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/disk_watch.hpp"
#include "supervisor/hand_edits.hpp"
#include "supervisor/idle_worlds.hpp"
#include "supervisor/span_facts.hpp"
#include "supervisor/world_network.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::int64_t kGraceNs = 2'000'000'000;   // from TERM to KILL
constexpr std::int64_t kDiskLookNs = 200'000'000;  // a short command is not looked after

// One execution from plan to span, step by step.
class Execution {
  public:
    Execution(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, Project& project,
              const Passage& passage, Caller& caller, LiveShell* shell = nullptr)
        : machine_(machine),
          trace_(trace),
          broker_(broker),
          project_(project),
          passage_(passage),
          request_(passage.request),
          caller_(caller),
          shell_(shell) {
        result_.notices = passage.notices;
    }
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;
    ~Execution() { give_back(); }

    Result<> run(const std::string& span_id, const int (&stdio)[3]);
    Result<std::unique_ptr<LiveShell>> open_shell(const std::string& span_id);

  private:
    Project::Wanted wanted();
    const std::shared_ptr<const NetworkOrder>& network_order();
    Result<> acquire();
    Result<> prepare_capture();
    Result<> choose_lowers();
    Result<> start(const int (&stdio)[3]);
    Result<> mark_capture();
    Result<> wait();
    Result<> hear_caller();
    Result<> take_event();
    Result<> hear_shell();
    void look_at_disk(std::int64_t now);
    void stop_command(Outcome outcome);
    void kill_command();
    Result<> conclude_capture();
    Result<> send_order(const int (&stdio)[3]);
    Result<> commit(const FsDiff& diff);
    bool approved(const FsDiff& diff);
    Result<> keep(KeptState state, const char* word);
    void give_back();
    Span& span() { return result_.span; }
    Store& store() { return project_.store(); }
    SessionWorld& session_world() { return *lease_.world; }

    const Machine& machine_;
    trace::TraceWriter& trace_;
    broker::Broker& broker_;
    Project& project_;
    const Passage& passage_;
    const ExecRequest& request_;
    Caller& caller_;
    LiveShell* shell_;  // null: the command is a process of its own

    ExecResult result_;
    std::optional<std::shared_ptr<const NetworkOrder>> network_order_;  // once it is known
    Project::Lease lease_;
    world::ExecOrder order_;
    Captured captured_;
    capture::Snapshot snapshot_;
    std::optional<Branch> own_line_;  // of the world
    bool had_background_ = false;
    bool caller_gone_ = false;
    bool slot_used_up_ = false;
    bool answered_ = false;  // the shell has, and lives on
    std::int64_t started_mono_ = 0;
    std::int64_t kill_at_ = 0;  // monotonic; 0: not being stopped
    std::optional<world::Exited> exited_;
    bool world_died_ = false;
    std::optional<Outcome> stopped_as_;
    std::optional<DiskWatch> disk_;
    std::int64_t look_at_ = 0;  // monotonic
};

Result<> Execution::run(const std::string& span_id, const int (&stdio)[3]) {
    started_mono_ = machine_.env.monotonic_ns();
    span().started_ns = machine_.env.realtime_ns();
    span().span_id = span_id;
    SUB_TRY(acquire());
    SUB_TRY(prepare_capture());
    SUB_TRY(start(stdio));
    if (!wanted().fresh && !passage_.preview && passage_.judgement.policies)
        follow_ports(machine_, session_world(), *passage_.judgement.policies, result_);
    // While the command runs: what the span says of it is known already.
    fill_span(span(), machine_, project_, request_, order_, session_world().plan, lease_.warm);
    fill_decision(span(), passage_);
    note_group(span(), session_world());
    session_world().door.stand_on({span(), request_.cwd, request_.profile, request_.ephemeral,
                                   request_.commit, caller_.nested_allowance()});
    trace::SpanDraft draft = trace::begin(span());
    disk_.emplace(store().fd());
    look_at_ = started_mono_ + kDiskLookNs;
    SUB_TRY(wait());
    const std::uint64_t asked = ask_network(machine_, session_world());
    if (session_world().door.anybody_in()) session_world().door.serve(machine_, trace_, broker_);
    span().duration_ms = static_cast<double>(machine_.env.monotonic_ns() - started_mono_) / 1e6;
    fill_outcome(span(), exited_, stopped_as_);
    note_limits(result_, session_world(), exited_, stopped_as_);
    note_observed(span(), passage_);
    // From here on the command has happened: whatever fails is told and the span is written.
    bool output_follows = request_.observes_output && !caller_gone_;
    output_follows = output_follows && caller_.tell_ended(span().exit).has_value();
    for (const Degradation& degradation : session_world().plan.degradations)
        result_.notices.push_back(fmt::format("degraded: {}: {}{}", degradation.component, degradation.reason,
                                              degradation.fix.empty() ? "" : " (" + degradation.fix + ")"));
    if (world_died_) result_.notices.push_back("the world ended unexpectedly while the command ran");

    if (auto concluded = conclude_capture(); !concluded) {
        span().commit = "pending";
        result_.notices.push_back("the command's changes were not brought to the host: " +
                                  concluded.error().describe());
        (void)keep(KeptState::interrupted, "interrupted");
    }
    note_network(machine_, session_world(), asked, result_);
    if (output_follows) {
        if (auto output = caller_.take_output()) span().output = *output;
    }
    span().ts_ns = machine_.env.realtime_ns();
    if (auto written = trace_.append(trace::finish(std::move(draft), span())); !written)
        result_.notices.push_back("the span was not recorded: " + written.error().describe());
    if (shell_ == nullptr) project_.expect_release();
    caller_.conclude(result_);
    give_back();
    if (shell_ != nullptr) return {};
    project_.release_done();
    if (wanted().fresh) prepare_standby(machine_, trace_, project_, wanted());
    return {};
}

// Nothing, for a command that runs before anybody has consented to it.
const std::shared_ptr<const NetworkOrder>& Execution::network_order() {
    const bool nothing =
        request_.host_network || passage_.preview || !machine_.network || !passage_.judgement.policies;
    if (!network_order_)
        network_order_ = nothing ? nullptr
                                 : machine_.network->order_for(*passage_.judgement.policies, project_.path(),
                                                               network_grants(passage_.judgement.grants),
                                                               request_.agent_egress_bytes.has_value());
    return *network_order_;
}

Project::Wanted Execution::wanted() { return wanted_for(machine_, request_, network_order()); }

// What holds the shell's world until it ends is the shell.
Result<std::unique_ptr<LiveShell>> Execution::open_shell(const std::string& span_id) {
    span().span_id = span_id;
    if (project_.own_line(request_.world_id))
        return fail(Error(Errc::conflict,
                          "a session cannot run in " + request_.world_id + ", which has changes of its own")
                        .hint("run one command after the other in it, by POST /v1/execute"));
    if (project_.own_line(request_.world_id))
        return fail(Error(Errc::conflict,
                          "a session cannot run in " + request_.world_id + ", which has changes of its own")
                        .hint("run one command after the other in it, by POST /v1/execute"));
    if (!project_.pending_layers().empty())
        return fail(Error(Errc::conflict, "changes of " + printable(project_.path()) + " wait for a decision")
                        .hint("substrate apply or substrate discard first"));
    SUB_TRY(acquire());
    SUB_TRY(prepare_capture());
    SUB_TRY_ASSIGN(sys::SocketPair socket, sys::make_stream_pair());
    set_command(order_, request_, session_world().id(), span_id);
    LiveShell::fill_order(order_, request_);
    SUB_TRY(mark_capture());
    SUB_TRY(session_world().world.exec_on_terminal(order_, socket.theirs.get()));
    SessionWorld& sw = session_world();
    sw.background = true;
    sw.background_span = span_id;
    sw.live_slot = captured_.dir;
    sw.live_since_ns = captured_.captured_ns;
    auto shell = std::make_unique<LiveShell>(std::move(lease_.world), wanted(), request_.commit,
                                             std::move(socket.ours));
    socket.theirs.reset();
    if (auto started = shell->await_start(machine_, result_); !started) {
        shell->end(machine_, trace_, project_);
        return fail(std::move(started).error().during("starting the session's shell"));
    }
    return shell;
}

Result<> Execution::acquire() {
    if (shell_ != nullptr) {
        lease_ = {shell_->lend(), /*warm=*/true};
        return {};
    }
    Project::Wanted wanted = this->wanted();
    if (const auto caller = sys::peer_credentials(caller_.fd())) wanted.caller = caller->pid;
    for (;;) {
        SUB_TRY_ASSIGN(lease_, project_.acquire(machine_, wanted));
        // A new one is being set up while its first command is prepared.
        if (!session_world().world.ready()) return {};
        // What the world said while it was idle: its background work is done, or it has died.
        bool alive = true;
        while (alive) {
            SUB_TRY_ASSIGN(const bool more, sys::wait_readable(session_world().world.event_fd(), 0));
            if (!more) return {};
            const auto event = session_world().world.receive();
            alive = event.has_value();
            if (alive && std::holds_alternative<world::Quiet>(*event))
                SUB_TRY(settle_background(machine_, trace_, project_, session_world()));
        }
        end_world(machine_, trace_, project_, std::move(lease_.world));
    }
}

Result<> Execution::prepare_capture() {
    SessionWorld& sw = session_world();
    own_line_ = project_.own_line(sw.id());
    if (own_line_) {
        captured_.branch = own_line_->id;
        captured_.base_ns = own_line_->base_ns;
    }
    had_background_ = sw.background;
    captured_.strategy = sw.plan.capture.strategy;
    captured_.user_xattrs = sw.plan.capture.user_xattrs;
    captured_.permits = permits_of(sw.plan);
    if (had_background_) {
        captured_.dir = sw.live_slot;
        captured_.captured_ns = sw.live_since_ns;
        SUB_TRY_ASSIGN(captured_.excluded, excluded_from(store(), captured_.dir));
        if (own_line_) SUB_TRY(choose_lowers());
        if (shell_ == nullptr)
            span().degraded.push_back({"capture",
                                       "background processes of an earlier command hold the capture: their "
                                       "changes are in this diff",
                                       "end them, or use --ephemeral"});
    } else {
        SUB_TRY_ASSIGN(captured_.dir, sw.prepare_slot(store()));
        SUB_TRY(choose_lowers());
    }
    order_.slot = {captured_.dir, captured_.lowers};
    if (!had_background_) SUB_TRY(store().take_on_project_root(captured_.dir, captured_.strategy));
    if (captured_.strategy == CaptureStrategy::copy_diff && !had_background_) {
        SUB_TRY_ASSIGN(const sys::UniqueFd base, sys::open_path(project_.path(), O_RDONLY | O_DIRECTORY));
        SUB_TRY_ASSIGN(const sys::UniqueFd tree,
                       sys::open_at(store().fd(), captured_.dir + "/tree", O_RDONLY | O_DIRECTORY));
        SUB_TRY_ASSIGN(
            capture::CopyReport copied,
            capture::make_copy(base.get(), tree.get(), {}, /*keep_owner=*/sys::effective_uid() == 0));
        captured_.excluded = std::move(copied.skipped);
        if (!captured_.excluded.empty())
            result_.notices.push_back(fmt::format(
                "{} sockets, devices or unreadable files are not in the copy", captured_.excluded.size()));
    }
    if (captured_.strategy == CaptureStrategy::direct) {
        SUB_TRY_ASSIGN(const sys::UniqueFd base, sys::open_path(project_.path(), O_RDONLY | O_DIRECTORY));
        SUB_TRY_ASSIGN(snapshot_, capture::Snapshot::take(base.get()));
        captured_.before = &snapshot_;
    }
    return {};
}

Result<> Execution::choose_lowers() {
    const bool layered = captured_.strategy == CaptureStrategy::overlay;
    if (request_.as_of_ns == 0) {
        if (!layered) return {};
        SUB_TRY_ASSIGN(captured_.lowers, project_.layers_for(session_world().id()));
        return {};
    }
    std::string why = fmt::format("the capture is {}", to_string(captured_.strategy));
    std::optional<std::vector<std::string>> layers;
    if (layered) {
        SUB_TRY_ASSIGN(layers, layers_back_to(store(), request_.as_of_ns, why));
    }
    if (layers) {
        captured_.lowers = std::move(*layers);
        SUB_TRY_ASSIGN(result_.changed_paths, hand_edits(store(), captured_.lowers, request_.as_of_ns));
    } else result_.notices.push_back("warn: the project cannot be shown as it was then: " + why);
    return {};
}

Result<> Execution::start(const int (&stdio)[3]) {
    set_command(order_, request_, session_world().id(), span().span_id);
    SUB_TRY(mark_capture());
    const std::string& session = request_.session_id;
    SUB_TRY(prepare_network(machine_, session_world(), network_order(),
                            {.session = session.empty() ? project_.session_id() : session,
                             .span = span().span_id,
                             .agent = request_.agent_id,
                             .agent_bytes = request_.agent_egress_bytes,
                             .directory = request_.governed_by.empty() ? request_.cwd : request_.governed_by,
                             .project = project_.path(),
                             .profile = request_.profile},
                            result_));
    if (shell_ != nullptr) {
        order_.program = request_.shell;
        order_.argv = {"bash", "-c", request_.cmd};  // in the shell that is there
        return shell_->run(request_.cmd);
    }
    return send_order(stdio);
}

// The agent's own copy of the token's file ends here.
Result<> Execution::send_order(const int (&stdio)[3]) {
    world::World& world = session_world().world;
    sys::UniqueFd token;
    if (order_.scope_token) {
        SUB_TRY_ASSIGN(token, scope_token_file(request_.scope_token));
    }
    if (request_.terminal && request_.terminal->streams == 0)
        return world.exec_on_terminal(order_, -1, token.get());
    return world.exec(order_, stdio, token.get());
}

Result<> Execution::mark_capture() {
    if (had_background_) return {};
    SUB_TRY_ASSIGN(captured_.captured_ns, capture_time(machine_, store(), own_line_));
    if (session_world().marked == order_.slot && captured_.excluded.empty()) return {};
    return mark_captured(store(), machine_.env, captured_, span().span_id, session_world().id());
}

Result<> Execution::wait() {
    SessionWorld& sw = session_world();
    std::vector<pollfd> polled;
    while (!exited_ && !world_died_) {
        sw.open_door(machine_);
        const std::int64_t now = machine_.env.monotonic_ns();
        polled.assign({pollfd{sw.world.event_fd(), POLLIN, 0},
                       pollfd{caller_gone_ ? -1 : caller_.fd(), POLLIN, 0},
                       pollfd{shell_ == nullptr ? -1 : shell_->fd(), POLLIN, 0}});
        sw.door.add_to(polled, now);
        std::int64_t deadline = kill_at_;
        if (deadline == 0 && request_.timeout_ms > 0 && !stopped_as_)
            deadline = started_mono_ + request_.timeout_ms * 1'000'000;
        const bool watching = disk_ && !stopped_as_;
        if (watching && now >= look_at_) {
            look_at_disk(now);
            continue;
        }
        const std::int64_t left_ms =
            deadline == 0 ? INT64_MAX : std::max<std::int64_t>(0, (deadline - now + 999'999) / 1'000'000);
        const std::int64_t most_ms = watching ? kDiskLookNs / 1'000'000 : 3'600'000;
        const int n = ::poll(polled.data(), polled.size(), static_cast<int>(std::min(left_ms, most_ms)));
        if (n < 0 && errno != EINTR) return fail(Error::last_os("poll"));
        if (n > 0 && polled[0].revents != 0) {
            SUB_TRY(take_event());
        } else if (n > 0 && polled[2].revents != 0) {
            SUB_TRY(hear_shell());
        } else if (n > 0 && polled[1].revents != 0) {
            SUB_TRY(hear_caller());
        } else if (deadline != 0 && machine_.env.monotonic_ns() >= deadline) {
            if (kill_at_ != 0) kill_command();
            else stop_command(Outcome::timeout);
        } else if (n > 0 || sw.door.anybody_in()) {
            sw.door.serve(machine_, trace_, broker_);
        }
    }
    return {};
}

void Execution::look_at_disk(std::int64_t now) {
    look_at_ = now + kDiskLookNs;
    const std::string left = disk_->exhausted();
    if (left.empty()) return;
    span().outcome_reason = kDiskReason;
    result_.notices.push_back(
        fmt::format("the disk is nearly full: {} where changes are captured; the command is ended", left));
    stop_command(Outcome::killed);
}

Result<> Execution::take_event() {
    auto event = session_world().world.receive();
    if (!event && !session_world().world.ready())
        return fail(std::move(event).error().during("starting a world"));
    if (!event) {
        world_died_ = true;
        stopped_as_ = Outcome::killed;
        return {};
    }
    if (std::holds_alternative<world::Uplink>(*event)) open_uplink(machine_, session_world(), result_);
    if (auto* exited = std::get_if<world::Exited>(&*event)) exited_ = std::move(*exited);
    if (std::holds_alternative<world::TerminalOpened>(*event))
        caller_.take_terminal(session_world().world.take_terminal());
    if (const auto* failed = std::get_if<world::Failed>(&*event))
        return fail(session_world().world.describe(*failed));
    return {};
}

// The line is done; bash and its world's capture live on.
Result<> Execution::hear_shell() {
    auto report = shell_->receive();
    if (!report) {
        // Its world says how it ended.
        if (report.error().code() != Errc::unavailable) return fail(std::move(report).error());
        return take_event();
    }
    answered_ = report->has_value();
    if (answered_)
        exited_ =
            world::Exited{.wait_status = (*report)->exit << 8, .slot = captured_.dir, .background = true};
    return {};
}

Result<> Execution::hear_caller() {
    auto word = caller_.hear();
    if (!word || word->gone) {
        caller_gone_ = true;
        stop_command(word ? word->as : Outcome::killed);
    } else if (word->signal != 0) {
        (void)session_world().world.signal(word->signal, /*everything=*/false);
    }
    return {};
}

void Execution::stop_command(Outcome outcome) {
    stopped_as_ = outcome;
    kill_at_ = machine_.env.monotonic_ns() + kGraceNs;
    // A shell lives on.
    if (shell_ != nullptr) return shell_->interrupt();
    // A failed send means that the world is gone, which its socket says too.
    (void)session_world().world.signal(SIGTERM, /*everything=*/false);
}

void Execution::kill_command() {
    // Everything the command has left behind goes too, unless it may belong to
    // an earlier one.
    (void)session_world().world.signal(SIGKILL, /*everything=*/!had_background_ || shell_ != nullptr);
    kill_at_ = machine_.env.monotonic_ns() + kGraceNs;
}

Result<> Execution::keep(KeptState state, const char* word) {
    span().commit = word;
    SUB_TRY(keep_captured(store(), machine_.env, captured_, span().span_id, session_world().id(), state));
    slot_used_up_ = true;
    project_.reload_pending();
    return {};
}

Result<> Execution::conclude_capture() {
    SUB_TRY_ASSIGN(span().fs_diff, diff_captured(store(), captured_));
    span().scopes_used = scopes_of(span().fs_diff, project_.path());
    if (world_died_) return keep(KeptState::interrupted, "interrupted");
    return commit(span().fs_diff);
}

// Of a command that ran in a closed world first: whether its change may reach the host.
bool Execution::approved(const FsDiff& diff) {
    broker::ApprovalQuestion question = *passage_.preview;
    question.impact = impact_of(diff);
    std::optional<broker::Answer> answer;
    if (!caller_gone_)
        if (auto heard = caller_.ask_approval(question)) answer = *heard;
    const std::string session = span().session_id;
    if (std::string problem =
            note_answer(machine_, trace_, broker_, passage_, session, span().span_id, answer);
        !problem.empty())
        result_.notices.push_back(std::move(problem));
    if (answer && *answer != broker::Answer::deny) return true;
    result_.notices.push_back(answer ? "not approved: its changes are dropped"
                                     : "nobody approved it: its changes are dropped");
    return false;
}

Result<> Execution::commit(const FsDiff& diff) {
    const bool background = exited_ && exited_->background;
    if (diff.empty()) {
        span().commit = "none";
        return {};
    }
    slot_used_up_ = !background;
    if (request_.commit == CommitMode::discard) {
        span().commit = "discarded";
        return {};
    }
    if (captured_.strategy == CaptureStrategy::direct) {
        span().commit = "applied";
        return note_direct_change(store(), machine_.env, captured_, span().span_id, session_world().id());
    }
    const std::scoped_lock lock(project_.commit_mutex());
    if (own_line_ && !background) {
        result_.notices.push_back(fmt::format("kept in {}: {} changed paths (substrate apply {})",
                                              own_line_->id, diff.files + diff.dirs, own_line_->id));
        return keep(KeptState::pending, "pending");
    }
    if (!own_line_ && !captured_.lowers.empty()) {
        result_.notices.push_back(
            fmt::format("kept: {} changed paths, after others that wait (substrate apply, substrate discard)",
                        diff.files + diff.dirs));
        return keep(KeptState::pending, "pending");
    }
    if (passage_.preview && !approved(diff)) {
        span().commit = "discarded";
        span().outcome = Outcome::denied;
        span().exit = to_int(ExitCode::denied);
        return {};
    }
    bool now = !own_line_ && (request_.commit == CommitMode::automatic || passage_.preview);
    // What has filled the disk a person looks at first.
    if (stopped_as_ && span().outcome_reason == kDiskReason) now = false;
    if (!passage_.preview && !own_line_ && request_.commit == CommitMode::ask && !caller_gone_) {
        const auto answer = caller_.ask_commit(diff);
        now = answer && *answer;
    }
    if (!now && !background) {
        result_.notices.push_back(fmt::format("kept: {} changed paths (substrate apply {})",
                                              diff.files + diff.dirs, span().span_id));
        return keep(KeptState::pending, "pending");
    }
    if (!now) {
        span().commit = "pending";
        // A shell says so at its end: until then it has them, and every line would repeat it.
        if (shell_ == nullptr)
            result_.notices.push_back(
                "background processes hold the capture: its changes are kept with the world");
        return {};
    }
    SUB_TRY_ASSIGN(CommitReport report, apply_captured(store(), machine_.env, captured_, span().span_id,
                                                       session_world().id(), /*movable=*/!background));
    span().commit = report.state;
    for (std::string& notice : report.notices) result_.notices.push_back(std::move(notice));
    if (report.state != "applied")
        result_.notices.push_back(fmt::format(
            "kept: substrate diff {0}, substrate apply {0}, substrate discard {0}", span().span_id));
    return {};
}

// Also the way out of an execution that failed half-way.
void Execution::give_back() {
    if (!lease_.world) return;
    SessionWorld& sw = session_world();
    ++sw.commands;
    sw.last_used_ns = machine_.env.realtime_ns();
    const bool single_use = captured_.strategy == CaptureStrategy::fuse || request_.ephemeral ||
                            request_.commit == CommitMode::discard;
    const bool finished = exited_.has_value();
    if (shell_ != nullptr && !world_died_ && (answered_ || !finished)) {
        sw.background_span = span().span_id;
        if (answered_) sw.live_since_ns = sw.last_used_ns;
        return shell_->take_back(std::move(lease_.world));
    }
    sw.background = finished && exited_->background;
    if (sw.background) {
        sw.background_span = span().span_id;
        sw.live_slot = captured_.dir;
        sw.live_since_ns = machine_.env.realtime_ns();
    } else if (slot_used_up_ || captured_.strategy == CaptureStrategy::copy_diff) {
        if (auto retired = sw.retire_slot(store(), captured_.dir); !retired)
            (void)trace_.append(warning_event(machine_, project_,
                                              "a used capture stays behind: " + retired.error().describe()));
    }
    if (!finished || world_died_ || (single_use && !sw.background))
        end_world(machine_, trace_, project_, std::move(lease_.world));
    else {
        if (!sw.background) prepare_next(machine_, project_, sw);
        project_.release(std::move(lease_.world));
    }
}

}  // namespace

Result<> execute(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, Project& project,
                 const Passage& passage, const std::string& span_id, const int (&stdio)[3], Caller& caller) {
    return Execution(machine, trace, broker, project, passage, caller).run(span_id, stdio);
}

Result<std::unique_ptr<LiveShell>> open_shell(const Machine& machine, trace::TraceWriter& trace,
                                              broker::Broker& broker, Project& project,
                                              const Passage& passage, const std::string& span_id,
                                              Caller& caller) {
    return Execution(machine, trace, broker, project, passage, caller).open_shell(span_id);
}

Result<> run_line(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, Project& project,
                  const Passage& passage, const std::string& span_id, LiveShell& shell, Caller& caller) {
    shell.note_commit(passage.request.commit);
    return Execution(machine, trace, broker, project, passage, caller, &shell).run(span_id, {-1, -1, -1});
}

}  // namespace substrate::supervisor
