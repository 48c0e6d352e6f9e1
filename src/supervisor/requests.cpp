// What each request of the control protocol does.
#include "supervisor/requests.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "codec/span_json.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/channel_caller.hpp"
#include "supervisor/executor.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/gc.hpp"
#include "supervisor/made_worlds.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/scope_request.hpp"
#include "supervisor/shell_session.hpp"
#include "supervisor/status.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {
namespace {

Result<std::shared_ptr<Project>> project_of(Agent& agent, const Json& request) {
    const std::string path = text_of(request, "project");
    if (path.empty() || path.front() != '/')
        return fail({Errc::invalid, "the project is not an absolute path"});
    return agent.project(path);
}

Result<Json> run_exec(Agent& agent, Channel& channel, const Json& request) {
    const std::vector<sys::UniqueFd> fds = channel.take_fds();
    if (fds.size() != 3) return fail({Errc::invalid, "three descriptors are needed"});
    SUB_TRY_ASSIGN(const ExecRequest exec, exec_request_from_json(request));
    SUB_TRY_ASSIGN(const auto project, agent.project(find_project(exec.cwd, agent.machine().facts.home)));
    ChannelCaller caller(agent, channel, flag_of(request, "want_span"));
    const std::string span_id = make_span_id(agent.machine().env);
    const std::string session = exec.session_id.empty() ? project->session_id() : exec.session_id;
    SUB_TRY_ASSIGN(const Passage passage,
                   pass_gate(agent.machine(), agent.trace(), agent.broker(), project->path(), session, exec,
                             Where::world, span_id, caller));
    if (passage.denied) {
        caller.conclude(
            record_denial(agent.machine(), agent.trace(), project->path(), session, passage, span_id));
        return Json();
    }
    SUB_TRY(execute(agent.machine(), agent.trace(), agent.broker(), *project, passage, span_id,
                    {fds[0].get(), fds[1].get(), fds[2].get()}, caller));
    return Json();  // told already
}

// For a command that the client will run on the host itself.
Result<Json> run_judge(Agent& agent, Channel& channel, const Json& request) {
    SUB_TRY_ASSIGN(const ExecRequest exec, exec_request_from_json(request));
    const std::string project = find_project(exec.cwd, agent.machine().facts.home);
    ChannelCaller caller(agent, channel, /*want_span=*/true);
    const std::string span_id = make_span_id(agent.machine().env);
    SUB_TRY_ASSIGN(const Passage passage, pass_gate(agent.machine(), agent.trace(), agent.broker(), project,
                                                    exec.session_id, exec, Where::host, span_id, caller));
    if (passage.denied) {
        const ExecResult result =
            record_denial(agent.machine(), agent.trace(), project, exec.session_id, passage, span_id);
        return Json{{"type", message::kDone}, {"span", to_json(result.span)}, {"notices", result.notices}};
    }
    Span span;
    span.span_id = span_id;
    fill_decision(span, passage);
    note_observed(span, passage);
    return Json{{"type", message::kDone},
                {"span", to_json(span)},
                {"timeout_ms", passage.request.timeout_ms},
                {"notices", passage.notices}};
}

Result<Json> policy_state(Agent& agent, const Json& request) {
    const broker::Loaded loaded =
        agent.broker().in_force(text_of(request, "cwd"), text_of(request, "project"));
    Json done = {{"type", message::kDone},
                 {"policy_id", loaded.set ? loaded.set->id() : ""},
                 {"policy_hash", loaded.set ? loaded.set->hash() : ""},
                 {"problems", Json::array()},
                 {"notices", loaded.notices},
                 {"exit", 0}};
    for (const broker::LoadProblem& problem : loaded.problems)
        done["problems"].push_back({{"file", escape_bytes(problem.file)},
                                    {"message", printable(problem.message)},
                                    {"advice", printable(problem.advice)}});
    return done;
}

Result<Json> policy_reload(Agent& agent) {
    agent.broker().refresh();
    Json done = {{"type", message::kDone}, {"reloads", Json::array()}, {"exit", 0}};
    for (const broker::Reload& reload : trace_reloads(agent.machine(), agent.trace(), agent.broker()))
        done["reloads"].push_back({{"directory", escape_bytes(reload.directory)},
                                   {"policy_id", reload.policy_id},
                                   {"old_hash", reload.old_hash},
                                   {"new_hash", reload.new_hash},
                                   {"problem", printable(reload.problem)}});
    return done;
}

Result<Json> approvals(Agent& agent) {
    Json done = agent.door() == nullptr ? Json{{"approvals", Json::array()}} : agent.door()->approvals();
    done["grants"] = describe_grants(agent.broker());
    done["type"] = message::kDone;
    return done;
}

// Takes something away, so whoever is at a door may.
Result<Json> run_revoke_grant(Agent& agent, const Json& request) {
    SUB_TRY(revoke_grant(agent.machine(), agent.broker(), agent.trace(), text_of(request, "grant_id")));
    return Json{{"type", message::kDone}, {"exit", 0}};
}

// The other door has the token: to be at this one is not enough, and a world is at neither.
Result<Json> decide(Agent& agent, const Json& request) {
    const auto answer = broker::parse_answer(text_of(request, "decision"));
    if (!answer) return fail({Errc::invalid, "that is no decision"});
    if (agent.door() == nullptr) return fail({Errc::not_found, "nothing waits for a decision"});
    SUB_TRY(agent.door()->decide(text_of(request, "approval_id"), *answer, text_of(request, "token")));
    return Json{{"type", message::kDone}, {"exit", 0}};
}

// The kept captures that a request means: one span, a world's, or the project's pending ones.
Result<std::vector<Manifest>> targets(const Store& store, const std::string& target) {
    SUB_TRY_ASSIGN(std::vector<Manifest> all, store.list());
    std::erase_if(all, [&](const Manifest& manifest) {
        if (is_id(target, "spn")) return manifest.span_id != target;
        if (!target.empty()) return manifest.world_id != target || manifest.state == KeptState::applied;
        // What a branch has of its own is decided about by its name.
        return manifest.state != KeptState::pending || !manifest.branch.empty();
    });
    if (all.empty() && !target.empty())
        return fail(Error(Errc::not_found, "no changes are kept for " + printable(target))
                        .hint("substrate world status lists what is kept"));
    return all;
}

std::set<std::string> branches_of(const std::vector<Manifest>& chosen) {
    std::set<std::string> ids;
    for (const Manifest& manifest : chosen)
        if (!manifest.branch.empty()) ids.insert(manifest.branch);
    return ids;
}

Result<Json> run_apply(Agent& agent, const Json& request) {
    SUB_TRY_ASSIGN(const auto project, project_of(agent, request));
    const std::scoped_lock lock(project->commit_mutex());
    Store& store = project->store();
    SUB_TRY_ASSIGN(const std::vector<Manifest> chosen, targets(store, text_of(request, "target")));
    Json done = {{"type", message::kDone}, {"applied", Json::array()}, {"notices", Json::array()}};
    std::int64_t exit = 0;
    std::set<std::string, std::less<>> written;  // by the changes before, in this request
    if (text_of(request, "target").empty()) {
        SUB_TRY_ASSIGN(const std::vector<Manifest> undecided, store.list());
        for (const Manifest& manifest : undecided)
            if (manifest.branch.empty() &&
                (manifest.state == KeptState::conflict || manifest.state == KeptState::interrupted))
                done["notices"].push_back(
                    fmt::format("{0} is kept ({1}): substrate diff {0}, then apply --force or discard",
                                manifest.span_id, to_string(manifest.state)));
    }
    for (const Manifest& manifest : chosen) {
        if (manifest.state == KeptState::applied) {
            done["notices"].push_back(manifest.span_id + " is applied already");
            continue;
        }
        SUB_TRY_ASSIGN(const std::vector<Manifest> all, store.list());
        Captured captured = captured_from(manifest, all);
        if (!captured.lowers.empty() && chosen.size() == 1)
            return fail(Error(Errc::conflict, fmt::format("{} builds on {} earlier pending changes",
                                                          manifest.span_id, captured.lowers.size()))
                            .hint("apply those first, or all by `substrate apply`"));
        captured.forced = flag_of(request, "force");
        // By force, the host is to become what the capture holds, whatever else it was meant to lie on.
        if (!captured.forced) {
            SUB_TRY_ASSIGN(captured, captured_on_base(store, manifest, all));
        }
        captured.ours = written;
        if (chosen.size() > 1) SUB_TRY(collect_paths(store, captured, written));
        SUB_TRY_ASSIGN(const CommitReport report,
                       apply_captured(store, agent.machine().env, captured, manifest.span_id,
                                      manifest.world_id, /*movable=*/true, texts_of(request, "paths")));
        for (const std::string& notice : report.notices) done["notices"].push_back(notice);
        done["applied"].push_back({{"span_id", manifest.span_id}, {"state", report.state}});
        Event event{.type = std::string(event_type::kApply),
                    .ts_ns = agent.machine().env.realtime_ns(),
                    .session_id = project->session_id(),
                    .span_id = manifest.span_id,
                    .fields = Json::object()};
        event.fields["commit"] = report.state;
        SUB_TRY(agent.trace().append(event));
        if (report.state != "applied") {
            exit = 5;
            break;  // what builds on it must wait
        }
    }
    project->reload_pending();
    for (const std::string& branch : branches_of(chosen))
        SUB_TRY(settle_branch(agent.machine(), *project, branch, /*applied=*/true));
    done["exit"] = exit;
    return done;
}

Result<Json> run_discard(Agent& agent, const Json& request) {
    SUB_TRY_ASSIGN(const auto project, project_of(agent, request));
    const std::scoped_lock lock(project->commit_mutex());
    Store& store = project->store();
    SUB_TRY_ASSIGN(const std::vector<Manifest> chosen, targets(store, text_of(request, "target")));
    Json done = {{"type", message::kDone}, {"discarded", Json::array()}, {"exit", 0}};
    for (const Manifest& manifest : chosen) {
        if (manifest.state == KeptState::applied)
            return fail(
                {Errc::conflict, manifest.span_id + " is applied already: there is nothing to discard"});
        SUB_TRY(store.drop(manifest));
        done["discarded"].push_back(manifest.span_id);
    }
    project->reload_pending();
    for (const std::string& branch : branches_of(chosen))
        SUB_TRY(settle_branch(agent.machine(), *project, branch, /*applied=*/false));
    return done;
}

Result<Json> run_diff(Agent& agent, const Json& request) {
    SUB_TRY_ASSIGN(const auto project, project_of(agent, request));
    SUB_TRY_ASSIGN(const std::vector<Manifest> chosen, targets(project->store(), text_of(request, "target")));
    SUB_TRY_ASSIGN(const std::vector<Manifest> all, project->store().list());
    Json done = {
        {"type", message::kDone}, {"changes", Json::array()}, {"exit", 0}, {"project", project->path()}};
    for (const Manifest& manifest : chosen) {
        Json change = {{"span_id", manifest.span_id},
                       {"state", to_string(manifest.state)},
                       {"captured", captured_path(project->store(), manifest)}};
        if (manifest.state != KeptState::applied) {
            SUB_TRY_ASSIGN(const Captured captured, captured_on_base(project->store(), manifest, all));
            SUB_TRY_ASSIGN(const FsDiff diff, diff_captured(project->store(), captured));
            change["fs_diff"] = to_json(diff);
        }
        done["changes"].push_back(std::move(change));
    }
    return done;
}

Result<Json> run_warm(Agent& agent, const Json& request) {
    SUB_TRY_ASSIGN(const auto project,
                   agent.project(find_project(text_of(request, "cwd"), agent.machine().facts.home)));
    SUB_TRY_ASSIGN(const std::string id, warm_world(agent, *project, text_of(request, "cwd"), {}));
    return Json{{"type", message::kDone}, {"world_id", id}, {"exit", 0}};
}

Result<Json> run_publish(Agent& agent, const Json& request) {
    PublishedPorts& ports = *agent.machine().ports;
    std::string world = text_of(request, "world");
    const std::int64_t number = number_of(request, "port");
    if (number < 1 || number > 65535)
        return fail({Errc::invalid, std::to_string(number) + " is no port: 1 to 65535"});
    const auto port = static_cast<std::uint16_t>(number);
    if (world.empty()) {
        SUB_TRY_ASSIGN(world,
                       ports.world_of(find_project(text_of(request, "cwd"), agent.machine().facts.home)));
    } else if (is_id(world, "snp")) {
        return fail(Error(Errc::invalid, world + " is a snapshot: nothing runs in it")
                        .hint("fork it, and publish a port of the fork"));
    } else if (!is_id(world, "wld")) {
        return fail({Errc::invalid, "'" + printable(world) + "' is no world id: wld_ and a UUID"});
    }
    SUB_TRY(flag_of(request, "end") ? ports.unpublish(world, port) : ports.publish(world, port));
    return Json{{"type", message::kDone}, {"world_id", world}, {"port", port}, {"exit", 0}};
}

Result<Json> run_gc(Agent& agent, const Json& request) {
    const GcReport report =
        collect_garbage(agent.machine().env, agent.machine().capture_roots, flag_of(request, "dry_run"));
    for (const auto& project : agent.projects()) project->reload_pending();
    Json done = {{"type", message::kDone},
                 {"removed", report.removed},
                 {"kept", Json::array()},
                 {"errors", Json::array()}};
    for (const auto& note : report.kept)
        done["kept"].push_back({{"name", escape_bytes(note.name)}, {"reason", escape_bytes(note.reason)}});
    for (const auto& note : report.errors)
        done["errors"].push_back({{"name", escape_bytes(note.name)}, {"message", escape_bytes(note.reason)}});
    done["exit"] = report.errors.empty() ? 0 : 1;
    return done;
}

Result<Json> run_stop(Agent& agent) {
    agent.request_stop();
    return Json{{"type", message::kDone}, {"exit", 0}};
}

}  // namespace

Result<Json> answer_plain(Agent& agent, const Json& request) {
    const std::string type = text_of(request, "type");
    if (type == message::kPolicyState) return policy_state(agent, request);
    if (type == message::kPolicyReload) return policy_reload(agent);
    if (type == message::kApprovals) return approvals(agent);
    if (type == message::kDecide) return decide(agent, request);
    if (type == message::kRevokeGrant) return run_revoke_grant(agent, request);
    if (type == message::kApply) return run_apply(agent, request);
    if (type == message::kDiscard) return run_discard(agent, request);
    if (type == message::kDiff) return run_diff(agent, request);
    if (type == message::kStatus) return describe_status(agent);
    if (type == message::kWarm) return run_warm(agent, request);
    if (type == message::kPublish) return run_publish(agent, request);
    if (type == message::kGc) return run_gc(agent, request);
    if (type == message::kStop) return run_stop(agent);
    return fail({Errc::invalid, "unknown request '" + printable(type) + "'"});
}

namespace {

Result<Json> answer(Agent& agent, Channel& channel, const Json& request) {
    const std::string type = text_of(request, "type");
    if (type == message::kExec) return run_exec(agent, channel, request);
    if (type == message::kJudge) return run_judge(agent, channel, request);
    if (type == message::kShellOpen) return serve_shell(agent, channel, request);
    if (type == message::kSignal) return Json();  // its command has ended
    return answer_plain(agent, request);
}

}  // namespace

void serve_connection(Agent& agent, Channel channel) {
    const auto peer = sys::peer_credentials(channel.fd());
    if (!peer || peer->uid != agent.machine().facts.uid) return;
    for (;;) {
        if (!agent.begin_listening(channel.fd())) return;
        const auto request = channel.receive();
        agent.end_listening(channel.fd());
        // A peer that breaks the protocol or has gone gets no answer.
        if (!request || !*request) return;
        if (text_of(**request, "type") != message::kSignal &&
            (text_of(**request, "version") != kProtocolVersion ||
             text_of(**request, "agent") != agent.options().identity) &&
            text_of(**request, "type") != message::kStop) {
            (void)channel.send({{"type", message::kOtherVersion}, {"version", kProtocolVersion}});
            return;
        }
        auto done = answer(agent, channel, **request);
        if (done && done->is_null()) continue;
        if (!channel.send(done ? *done : to_json(done.error()))) return;
    }
}

}  // namespace substrate::supervisor
