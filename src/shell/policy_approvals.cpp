#include <fmt/format.h>

#include "base/text.hpp"
#include "broker/approvals.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

Json to_json(const broker::Approval& approval) {
    Json json = {{"id", approval.id},
                 {"at", format_utc(approval.at_ns)},
                 {"policy_id", approval.scope.policy_id},
                 {"policy_hash", approval.scope.policy_hash}};
    put_bytes(json, "directory", approval.scope.directory);
    put_bytes(json, "pattern", approval.scope.pattern);
    return json;
}

int list(const Console& console, const broker::Approvals& approvals, bool json) {
    const auto all = approvals.list();
    if (!all) return console.fail_with(all.error());
    Json report = Json::array();
    for (const broker::Approval& approval : *all) {
        if (json) report.push_back(to_json(approval));
        else
            console.out(fmt::format("{}  {}  {}  in {}  (policy {})\n", approval.id,
                                    format_utc(approval.at_ns).substr(0, 19),
                                    printable(approval.scope.pattern), printable(approval.scope.directory),
                                    printable(approval.scope.policy_id)));
    }
    if (json) console.out(dump_json_pretty(report) + "\n");
    else if (all->empty()) console.note("nothing is approved for always");
    return 0;
}

}  // namespace

int policy_approvals(const Console& console, const PolicyApprovalsOptions& options) {
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
    if (options.json) console.out(dump_json_pretty({{"revoked", *removed}}) + "\n");
    else console.out(fmt::format("{} revoked\n", *removed));
    return 0;
}

}  // namespace substrate::shell
