#include "shell/policy_loosening.hpp"

#include <gtest/gtest.h>

#include "codec/policy_yaml.hpp"

namespace substrate::shell {
namespace {

Policy read(const std::string& text) {
    PolicyText made = parse_policy("id: a\n" + text, "f");
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.problems[0].text());
    return made.policy;
}

struct Row {
    const char* before;
    const char* after;
    const char* line;  // the only one; empty: nothing is looser
};

TEST(Loosened, TableOfChanges) {
    const Row rows[] = {
        {"mode: enforce", "mode: observe", "mode: observe instead of enforce"},
        {"mode: observe", "mode: enforce", ""},
        {"commands: {denied: [sudo *, x]}", "commands: {denied: [x]}",
         "commands.denied no longer has: sudo *"},
        {"commands: {denied: [x]}", "commands: {denied: [x, y]}", ""},
        {"commands: {isolated: [x]}", "", "commands.isolated no longer has: x"},
        {"commands: {allowed: [x]}", "", "commands.allowed: everything, instead of a list"},
        {"commands: {allowed: [x]}", "commands: {allowed: [x, y]}", "commands.allowed also has: y"},
        {"", "commands: {allowed: [x]}", ""},
        {"", "commands: {direct: [x]}", "commands.direct also has: x"},
        {"commands: {unresolved: deny}", "commands: {unresolved: ask}",
         "commands.unresolved: ask instead of deny"},
        {"commands: {unresolved: isolate}", "commands: {unresolved: deny}", ""},
        {"approval: {require: true}", "approval: {require: [x]}",
         "approval.require: not every command any more"},
        {"approval: {require: [x]}", "approval: {require: true}", ""},
        {"approval: {require: [x]}", "", "approval.require no longer has: x"},
        {"", "approval: {auto_approve: [x]}", "approval.auto_approve also has: x"},
        {"approval: {timeout: 5s}", "approval: {timeout: 9s}", "approval.timeout: a higher limit"},
        {"approval: {timeout: 5s}", "", "approval.timeout: no limit"},
        {"", "approval: {timeout: 5s}", ""},
        {"allow_shell_operators: false", "", "allow_shell_operators: true instead of false"},
        {"fs: {deny: [/x]}", "", "fs.deny no longer has: /x"},
        {"", "fs: {write: [/x]}", "fs.write also has: /x"},
        {"fs: {write: [/x]}", "", "fs.write: everything, instead of a list"},
        {"world_fs: {mode: read_only}", "", "world_fs.mode: writable instead of read_only"},
        {"world_fs: {require_world: true}", "", "world_fs.require_world: false instead of true"},
        {"net: {allowed: []}", "", "net.allowed: no list any more"},
        {"net: {allowed: []}", "net: {allowed: [h]}", "net.allowed also has: h"},
        {"", "net: {allowed: [h]}", ""},
        {"net: {egress_budget: {total_bytes: 1Ki}}", "", "net.egress_budget.total_bytes: no limit"},
        {"", "net: {unix: [/run/a.sock]}", "net.unix also has: /run/a.sock"},
        {"", "net: {mode: veth}", "net.mode: veth instead of gateway"},
        {"net: {mode: none}", "", "net.mode: gateway instead of none"},
        {"world: {publish: [80]}", "world: {publish: [80, 3000]}", "world.publish also has: 3000"},
        {"", "world: {isolate_network: false}", "world.isolate_network: false instead of true"},
        {"", "world: {seccomp: false}", "world.seccomp: off instead of enforce"},
        {"world: {commit: manual}", "", "world.commit: auto instead of manual"},
        {"", "world: {commit: manual}", ""},
        {"world: {limits: {io: {read_bps: 1Mi}}}", "world: {limits: {io: {read_bps: 2Mi}}}",
         "world.limits.io.read_bps: a higher limit"},
        {"world: {limits: {io: {write_iops: 5}}}", "", "world.limits.io.write_iops: no limit"},
        {"world: {limits: {pids: 5}}", "world: {limits: {pids: 6}}", "world.limits.pids: a higher limit"},
        {"", "env: {pass: [X]}", "env.pass also has: X"},
        {"", "env: {set: {X: \"1\\e[2J\"}}", "env.set: X=1\\x1b[2J"},
    };
    for (const Row& row : rows) {
        const auto lines = loosened(read(row.before), read(row.after));
        const auto expected =
            *row.line == '\0' ? std::vector<std::string>() : std::vector<std::string>{row.line};
        EXPECT_EQ(lines, expected) << row.before << " → " << row.after;
    }
}

TEST(Loosened, TheSamePolicyLoosensNothing) {
    const Policy policy = read("commands: {denied: [x], allowed: [y], direct: [z]}\nenv: {set: {A: b}}\n");
    EXPECT_TRUE(loosened(policy, policy).empty());
}

}  // namespace
}  // namespace substrate::shell
