#include "shell/policy_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace substrate::shell {
namespace {

PolicyValue at(const std::vector<PolicyValue>& values, std::string_view pointer) {
    const auto found = std::ranges::find(values, pointer, &PolicyValue::pointer);
    return found == values.end() ? PolicyValue{} : *found;
}

constexpr const char* kText =
    "id: sample\nmode: enforce\nnet:\n  allowed: []\ncommands:\n  denied:\n    - rm -rf /\n    - \"a\\eb\"\n"
    "world:\n  limits: {cpu: 1500m, memory: 2Gi, pids: 7, runtime: 90s}\napproval:\n  require: true\n"
    "env:\n  set: {A: b}\n";

TEST(PolicyValues, WrittenAsTheyCanBeRead) {
    const PolicyText read = parse_policy(kText, "f.yaml");
    ASSERT_TRUE(read.ok()) << read.problems[0].text();
    const auto values = policy_values(read.policy);
    EXPECT_EQ(at(values, "/world/limits/cpu").value, "1500m");
    EXPECT_EQ(at(values, "/world/limits/memory").value, "2Gi");
    EXPECT_EQ(at(values, "/world/limits/pids").value, 7);
    EXPECT_EQ(at(values, "/world/limits/runtime").value, "90s");
    EXPECT_EQ(at(values, "/approval/timeout").value, nullptr);
    EXPECT_EQ(at(values, "/approval/require").value, true);
    EXPECT_EQ(at(values, "/net/allowed").value, Json::array());
    EXPECT_EQ(at(policy_values(Policy{}), "/net/allowed").value, nullptr);
    EXPECT_EQ(at(values, "/env/set").value, Json({{"A", "b"}}));
}

TEST(PolicyValues, EveryValueThatATextHasIsThere) {
    // What the reader keeps a place of must be among the values, so that none is left out of a list.
    const PolicyText read = parse_policy(kText, "f.yaml");
    const auto values = policy_values(read.policy);
    for (const PolicyOrigin& origin : read.origins) {
        const bool item = origin.pointer.find_first_not_of("0123456789", origin.pointer.rfind('/') + 1) ==
                          std::string::npos;
        if (item) continue;
        EXPECT_FALSE(at(values, origin.pointer).pointer.empty()) << origin.pointer;
    }
}

TEST(PolicyValues, LinesSayWhereAValueCameFrom) {
    const PolicyText read = parse_policy(kText, "f.yaml");
    const auto values = policy_values(read.policy);
    const OriginLines lines = origin_lines(read.origins);
    const std::string denied = render_value(at(values, "/commands/denied"), "f.yaml", lines);
    EXPECT_NE(denied.find("[0] rm -rf /"), std::string::npos) << denied;
    EXPECT_NE(denied.find("f.yaml:7"), std::string::npos) << denied;
    EXPECT_NE(denied.find("f.yaml:8"), std::string::npos) << denied;
    EXPECT_EQ(denied.find('\x1b'), std::string::npos);
    const std::string commit = render_value(at(values, "/world/commit"), "f.yaml", lines);
    EXPECT_NE(commit.find("auto"), std::string::npos);
    EXPECT_NE(commit.find("default"), std::string::npos);
    EXPECT_EQ(render_value(at(values, "/mode")), "mode                               enforce\n");
}

}  // namespace
}  // namespace substrate::shell
