#include <fmt/format.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "broker/approvals.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "supervisor/protocol.hpp"
#include "sys/file.hpp"

namespace substrate::shell {
namespace {

Json to_json(const broker::Approval& approval) {
    Json json = {{"id", approval.id},
                 {"state", "always"},
                 {"at", format_utc(approval.at_ns)},
                 {"policy_id", approval.scope.policy_id},
                 {"policy_hash", approval.scope.policy_hash}};
    put_bytes(json, "directory", approval.scope.directory);
    put_bytes(json, "pattern", approval.scope.pattern);
    return json;
}

// What waits for a decision and what is granted for a time, at the agent that runs, if one does.
Result<Json> at_agent(const Console& console) {
    SUB_TRY_ASSIGN(const std::optional<Json> reply,
                   ask_running_agent(console, {{"type", supervisor::message::kApprovals}}));
    Json found = Json::array();
    const auto add = [&](const char* list, const char* state) {
        if (!reply || !reply->contains(list) || !reply->at(list).is_array()) return;
        for (Json one : reply->at(list)) {
            one["state"] = state;
            found.push_back(std::move(one));
        }
    };
    add("approvals", "waiting");
    add("grants", "granted");
    return found;
}

std::string granted_line(const Json& one) {
    const auto text = [&one](const char* key) { return printable(supervisor::text_of(one, key)); };
    return fmt::format("{}  until {}  {}  for {}  in {}\n", text("grant_id"), text("expires").substr(0, 19),
                       text("scope"), text("agent_id"), text("project"));
}

Result<> revoke_grant(const Console& console, const std::string& id) {
    SUB_TRY_ASSIGN(
        const std::optional<Json> reply,
        ask_running_agent(console, {{"type", supervisor::message::kRevokeGrant}, {"grant_id", id}}));
    if (reply) return {};
    return fail(Error(Errc::not_found, "no agent runs, so nothing is granted for a time"));
}

// How many.
Result<std::size_t> revoke_grants(const Console& console) {
    SUB_TRY_ASSIGN(const Json all, at_agent(console));
    std::size_t revoked = 0;
    for (const Json& one : all) {
        if (supervisor::text_of(one, "state") != "granted") continue;
        SUB_TRY(revoke_grant(console, supervisor::text_of(one, "grant_id")));
        ++revoked;
    }
    return revoked;
}

std::string waiting_line(const Json& one) {
    const auto text = [&one](const char* key) { return printable(supervisor::text_of(one, key)); };
    std::string line = fmt::format("{}  waits since {}  {}  for {}  (policy {}: {})\n", text("approval_id"),
                                   text("since").substr(0, 19), text("command"), text("agent_id"),
                                   text("policy_id"), text("reason"));
    if (const auto scope = one.find("scope"); scope != one.end() && scope->is_object())
        line += fmt::format("    session or always: {}  in {}\n",
                            printable(supervisor::text_of(*scope, "pattern")),
                            printable(supervisor::text_of(*scope, "directory")));
    for (const std::string& impact : supervisor::texts_of(one, "impact"))
        line += "    " + printable(impact) + "\n";
    return line;
}

// As POST /v1/approvals does: with the token that no world can read.
int decide(const Console& console, const PolicyApprovalsOptions& options) {
    auto token = sys::read_file(console.home.approval_token(), 4096);
    if (!token) return console.fail_with(std::move(token).error().during("reading the approval token"));
    while (token->ends_with('\n')) token->pop_back();
    const auto reply = ask_running_agent(console, {{"type", supervisor::message::kDecide},
                                                   {"approval_id", options.decide},
                                                   {"decision", options.decision},
                                                   {"token", *token}});
    if (!reply) return console.fail_with(reply.error());
    if (!*reply)
        return console.fail_with(Error(Errc::not_found, "no agent runs, so nothing waits for a decision"));
    if (options.json)
        console.out(dump_json_pretty({{"approval_id", options.decide}, {"decision", options.decision}}) +
                    "\n");
    else console.out(options.decide + " " + options.decision + "\n");
    return 0;
}

int list(const Console& console, const broker::Approvals& approvals, bool json) {
    const auto all = approvals.list();
    if (!all) return console.fail_with(all.error());
    auto asked = at_agent(console);
    if (!asked)
        console.note("what waits for a decision, and what is granted, cannot be told: " +
                     asked.error().describe());
    Json report = asked ? std::move(*asked) : Json::array();
    const bool some_wait = !report.empty();
    if (!json)
        for (const Json& one : report)
            console.out(supervisor::text_of(one, "state") == "granted" ? granted_line(one)
                                                                       : waiting_line(one));
    for (const broker::Approval& approval : *all) {
        if (json) report.push_back(to_json(approval));
        else
            console.out(fmt::format("{}  {}  {}  in {}  (policy {})\n", approval.id,
                                    format_utc(approval.at_ns).substr(0, 19),
                                    printable(approval.scope.pattern), printable(approval.scope.directory),
                                    printable(approval.scope.policy_id)));
    }
    if (json) console.out(dump_json_pretty(report) + "\n");
    else if (all->empty() && !some_wait) console.note("nothing is approved for always");
    return 0;
}

int tell_revoked(const Console& console, std::size_t count, bool json) {
    if (json) console.out(dump_json_pretty({{"revoked", count}}) + "\n");
    else console.out(fmt::format("{} revoked\n", count));
    return 0;
}

}  // namespace

int policy_approvals(const Console& console, const PolicyApprovalsOptions& options) {
    if (!options.decide.empty()) return decide(console, options);
    std::size_t count = 0;
    if (is_id(options.revoke, "grt")) {
        if (const auto gone = revoke_grant(console, options.revoke); !gone)
            return console.fail_with(gone.error());
        return tell_revoked(console, 1, options.json);
    }
    if (options.revoke_all) {
        const auto gone = revoke_grants(console);
        if (!gone) return console.fail_with(gone.error());
        count = *gone;
    }
    const auto ground = policy_ground(console, "/");
    if (!ground) return console.fail_with(ground.error());
    broker::Approvals approvals(console.env, ground->places.approvals_file);
    if (options.revoke.empty() && !options.revoke_all) return list(console, approvals, options.json);
    const auto removed = approvals.revoke(options.revoke);
    if (!removed) return console.fail_with(removed.error());
    if (*removed == 0 && !options.revoke_all)
        return console.fail_with(
            Error(Errc::not_found, "there is no approval '" + printable(options.revoke) + "'")
                .hint("substrate policy approvals"));
    return tell_revoked(console, count + *removed, options.json);
}

}  // namespace substrate::shell
