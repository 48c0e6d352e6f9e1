#include "codec/policy_yaml.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace substrate {
namespace {

struct Sample {
    std::string kind, pointer, name, text;
    int line = 0;
};

std::vector<Sample> samples() {
    std::ifstream file(SUBSTRATE_TEST_POLICY_DIR "/samples.txt");
    std::vector<Sample> all;
    for (std::string row; std::getline(file, row);) {
        if (!row.starts_with("=== ")) {
            if (!all.empty()) all.back().text += row + "\n";
            continue;
        }
        std::istringstream head(row.substr(4));
        Sample sample;
        head >> sample.kind;
        if (sample.kind != "valid") head >> sample.line;
        if (sample.kind == "invalid") head >> sample.pointer;
        if (sample.pointer == "-") sample.pointer.clear();
        head >> sample.name;
        all.push_back(sample);
    }
    return all;
}

TEST(PolicyYaml, Samples) {
    int seen = 0;
    for (const Sample& sample : samples()) {
        const PolicyText read = parse_policy(sample.text, "f.yaml");
        ++seen;
        EXPECT_EQ(read.ok(), sample.kind == "valid")
            << sample.name << (read.ok() ? "" : ": " + read.problems[0].text());
        if (read.ok()) continue;
        EXPECT_EQ(read.problems[0].pointer, sample.pointer) << sample.name << ": " << read.problems[0].text();
        EXPECT_EQ(read.problems[0].line, sample.line) << sample.name << ": " << read.problems[0].text();
        EXPECT_FALSE(read.problems[0].message.empty());
    }
    EXPECT_GT(seen, 60);
}

TEST(PolicyYaml, ReadsEveryValue) {
    for (const Sample& sample : samples()) {
        if (sample.name != "everything") continue;
        const PolicyText read = parse_policy(sample.text, "f.yaml");
        ASSERT_TRUE(read.ok());
        const Policy& policy = read.policy;
        EXPECT_EQ(policy.id, "full-1");
        EXPECT_EQ(policy.mode, PolicyMode::enforce);
        EXPECT_EQ(policy.fs.write, (std::vector<std::string>{"$PROJECT", "/tmp"}));
        EXPECT_EQ(policy.world_fs.isolation, WorldFsIsolation::full);
        EXPECT_TRUE(policy.world_fs.require_world);
        EXPECT_EQ(policy.net.allowed->size(), 3u);
        EXPECT_EQ(policy.net.egress_bytes_per_sec, 1u << 20);
        EXPECT_EQ(policy.commands.denied[2], "curl * | sh");
        EXPECT_EQ(policy.commands.unresolved, UnresolvedRule::isolate);
        EXPECT_EQ(policy.world.limits.cpu_millis, 2000u);
        EXPECT_EQ(policy.world.limits.memory_bytes, 2ull << 30);
        EXPECT_EQ(policy.world.limits.runtime_ms, 5'400'000);
        EXPECT_EQ(policy.world.limits.io,
                  (IoLimits{.read_bps = 100u << 20, .write_bps = 0, .read_iops = 0, .write_iops = 500}));
        EXPECT_EQ(policy.world.commit, CommitMode::manual);
        EXPECT_EQ(policy.world.high_isolation.microvm_memory, 512u << 20);
        EXPECT_EQ(policy.approval.timeout_ms, 30'000);
        EXPECT_EQ(policy.env.set.at("A"), "1");
        EXPECT_FALSE(policy.allow_shell_operators);
        EXPECT_TRUE(policy.privacy.hash_code_only);
    }
}

TEST(PolicyYaml, AbsentAndEmptyNetworkListsDiffer) {
    EXPECT_FALSE(parse_policy("id: a\n", "f").policy.net.allowed.has_value());
    EXPECT_TRUE(parse_policy("id: a\nnet: {allowed: []}\n", "f").policy.net.allowed.has_value());
}

TEST(PolicyYaml, ReportsEveryProblemWithItsPlace) {
    const PolicyText read = parse_policy("id: a\nmode: x\ncommands:\n  denied: 1\n  foo: 2\n", "p/f.yaml");
    ASSERT_EQ(read.problems.size(), 3u);
    EXPECT_EQ(read.problems[0].text(), "p/f.yaml:2:7: /mode: must be one of observe, enforce");
    EXPECT_EQ(read.problems[1].pointer, "/commands/denied");
    EXPECT_EQ(read.problems[2].line, 5);
}

TEST(PolicyYaml, AnEmptyTextHasAPlaceToo) {
    const PolicyText read = parse_policy("", "f");
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.problems[0].text(), "f:1:1: must be a mapping");
}

TEST(PolicyYaml, KeepsWhereValuesCameFrom) {
    const PolicyText read = parse_policy("id: a\n\nmode: enforce\n", "f");
    ASSERT_EQ(read.origins.size(), 2u);
    EXPECT_EQ(read.origins[1].pointer, "/mode");
    EXPECT_EQ(read.origins[1].line, 3);
    const PolicyText list = parse_policy("id: a\ncommands:\n  denied:\n    - a\n\n    - b\n", "f");
    ASSERT_EQ(list.origins.size(), 4u);
    EXPECT_EQ(list.origins[1].pointer, "/commands/denied");
    EXPECT_EQ(list.origins[3].pointer, "/commands/denied/1");
    EXPECT_EQ(list.origins[3].line, 6);
}

TEST(PolicyYaml, BombsAndHugeTextsAreRefused) {
    std::string bomb = "a: &a [x]\n";
    for (char name = 'b'; name < 'j'; ++name)
        bomb += std::string(1, name) + ": &" + name + " [*" + static_cast<char>(name - 1) + ",*" +
                static_cast<char>(name - 1) + "]\n";
    EXPECT_FALSE(parse_policy(bomb, "f").ok());
    EXPECT_FALSE(parse_policy(std::string(100'000, '['), "f").ok());
    EXPECT_FALSE(parse_policy(std::string(100'000, '{'), "f").ok());
    std::string steps;
    for (int depth = 0; depth < 2'000; ++depth)
        steps += std::string(static_cast<std::size_t>(depth), ' ') + "a:\n";
    EXPECT_FALSE(parse_policy(steps, "f").ok());
    EXPECT_FALSE(parse_policy(std::string((8u << 20) + 1, ' '), "f").ok());
    EXPECT_FALSE(parse_policy(std::string_view("id: a\0b", 7), "f").ok());
    EXPECT_FALSE(parse_policy("", "f").ok());
    EXPECT_FALSE(parse_policy("\xff\xfe\x00", "f").ok());
    std::string many = "id: a\ncommands:\n  denied:\n";
    for (int i = 0; i < 260'000; ++i) many += "  - a\n";
    EXPECT_FALSE(parse_policy(many, "f").ok());
}

TEST(PolicyYaml, Quantities) {
    EXPECT_EQ(parse_byte_size("2Gi"), 2ull << 30);
    EXPECT_EQ(parse_byte_size("10k"), 10'000u);
    EXPECT_EQ(parse_byte_size("0"), 0u);
    EXPECT_FALSE(parse_byte_size("Gi"));
    EXPECT_FALSE(parse_byte_size("-1"));
    EXPECT_FALSE(parse_byte_size("99999999999Ti"));
    EXPECT_EQ(parse_cpu_millis("2"), 2000u);
    EXPECT_EQ(parse_cpu_millis("0.25"), 250u);
    EXPECT_EQ(parse_cpu_millis("1500m"), 1500u);
    EXPECT_FALSE(parse_cpu_millis("0"));
    EXPECT_FALSE(parse_cpu_millis("1."));
    EXPECT_FALSE(parse_cpu_millis("."));
    EXPECT_FALSE(parse_cpu_millis("5000"));
    EXPECT_EQ(parse_duration_ms("1h30m"), 5'400'000);
    EXPECT_EQ(parse_duration_ms("250ms"), 250);
    EXPECT_EQ(parse_duration_ms("90"), 90'000);
    EXPECT_FALSE(parse_duration_ms("1h30"));
    EXPECT_FALSE(parse_duration_ms(""));
    EXPECT_FALSE(parse_duration_ms("9999999d"));
}

}  // namespace
}  // namespace substrate
