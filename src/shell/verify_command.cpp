#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "codec/json_value.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "supervisor/client.hpp"
#include "supervisor/store.hpp"
#include "supervisor/verify.hpp"
#include "sys/file.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

Result<std::vector<supervisor::Check>> verify(const Console& console, const std::string& root) {
    SUB_TRY(supervisor::create_home(console.home));
    supervisor::Machine machine{.env = console.env,
                                .facts = {},
                                .init_program = supervisor::sibling_program("substrate-world-init"),
                                .cgroups = {},
                                .capture_roots = supervisor::capture_roots(console.env, console.home)};
    SUB_TRY_ASSIGN(machine.facts,
                   world::probe_host(console.env, {machine.init_program, console.home.path,
                                                   supervisor::usual_capture_root(machine.capture_roots)}));
    SUB_TRY_ASSIGN(machine.cgroups, world::find_cgroup_ground());
    return supervisor::verify_worlds(machine, sys::resolve_links(root.empty() ? "/var/tmp" : root));
}

}  // namespace

int world_verify(const Console& console, const VerifyOptions& options) {
    const auto checks = verify(console, options.root);
    if (!checks) return console.fail_with(checks.error());
    using supervisor::CheckResult;
    const auto count = [&](CheckResult result) {
        return std::ranges::count(*checks, result, &supervisor::Check::result);
    };
    Json list = Json::array();
    for (const supervisor::Check& check : *checks) {
        list.push_back({{"id", check.id}, {"result", to_string(check.result)}, {"detail", check.detail}});
        if (!options.json)
            console.out(fmt::format("{}  {}{}\n", to_string(check.result), check.id,
                                    check.detail.empty() ? "" : ": " + printable(check.detail)));
    }
    const auto passed = count(CheckResult::pass), failed = count(CheckResult::fail),
               skipped = count(CheckResult::skip);
    if (options.json)
        console.out(dump_json_pretty(
                        {{"checks", list}, {"passed", passed}, {"failed", failed}, {"skipped", skipped}}) +
                    "\n");
    else console.out(fmt::format("{} passed, {} failed, {} skipped\n", passed, failed, skipped));
    const bool any = std::ranges::any_of(*checks, [](const supervisor::Check& check) {
        return check.enforcement && check.result != CheckResult::skip;
    });
    if (!any) {
        console.note("nothing that holds commands back could be tried (substrate world doctor)");
        return to_int(ExitCode::unsupported);
    }
    return to_int(failed > 0 ? ExitCode::safety_refusal : ExitCode::ok);
}

}  // namespace substrate::shell
