#include "supervisor/settings.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace substrate::supervisor {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

class GivenEnv : public Env {
  public:
    GivenEnv() = default;
    explicit GivenEnv(const Pairs& variables) : variables_(variables.begin(), variables.end()) {}
    std::int64_t realtime_ns() const override { return 0; }
    std::int64_t monotonic_ns() const override { return 0; }
    void random(std::span<std::uint8_t>) const override {}
    std::optional<std::string> variable(std::string_view name) const override {
        const auto found = variables_.find(name);
        return found == variables_.end() ? std::nullopt : std::optional(found->second);
    }

  private:
    std::map<std::string, std::string, std::less<>> variables_;
};

std::string error_of(const GivenEnv& env, const Pairs& flags, std::string_view text) {
    const auto read = read_settings(env, flags, text, "agent.yaml");
    return read ? "" : read.error().message();
}

TEST(Settings, FlagsOverEnvironmentOverFileOverDefaults) {
    const GivenEnv env(
        {{"SUBSTRATE_WORLD_IDLE_SECS", "7"}, {"SUBSTRATE_STANDBY", "0"}, {"SUBSTRATE_API_READ_MS", "250"}});
    const Pairs flags = {{"standby", "true"}};
    const auto read =
        read_settings(env, flags, "agent-idle: 2h\nworld-idle: 90s\nstandby: false\n", "agent.yaml");
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->agent_idle_ms, 7'200'000);
    EXPECT_EQ(read->world_idle_ms, 7'000);
    EXPECT_TRUE(read->standby);
    EXPECT_EQ(read->api_read_timeout_ms, 250);
    EXPECT_EQ(read->api_write_timeout_ms, 60'000);
    EXPECT_EQ(read->sources.at("agent-idle"), "agent.yaml:1:13: agent-idle");
    EXPECT_EQ(read->sources.at("world-idle"), "SUBSTRATE_WORLD_IDLE_SECS");
    EXPECT_EQ(read->sources.at("standby"), "--standby");
    EXPECT_FALSE(read->sources.contains("api-write-timeout"));
    const Json json = to_json(*read);
    EXPECT_EQ(json.size(), setting_kinds().size());
    EXPECT_EQ(
        json[0],
        (Json{{"key", "agent-idle"}, {"value_ms", 7'200'000}, {"source", "agent.yaml:1:13: agent-idle"}}));
}

TEST(Settings, AnEmptyFileSaysNothing) {
    for (const char* text : {"", "\n", "# nothing\n", "{}"})
        EXPECT_EQ(error_of(GivenEnv(), {}, text), "") << text;
}

TEST(Settings, SayWhatIsWrongAndWhere) {
    const std::pair<const char*, const char*> cases[] = {
        {"idle: 5m", "agent.yaml:1:1: 'idle' is no setting; known are agent-idle"},
        {"\nagent-idle: soon", "agent.yaml:2:13: agent-idle: must be a time"},
        {"agent-idle: [1]", "must be one value"},
        {"agent-idle: 0", "must be more than nothing"},
        {"agent-idle: -5", "must be a time"},
        {"standby: yes", "must be true or false"},
        {"- agent-idle", "must be a mapping"},
        {"agent-idle: 1s\nagent-idle: 2s", "agent.yaml:2"},
        {"a: &x 1", "agent.yaml:1"},
        {"agent-idle: {", "agent.yaml:"},
    };
    for (const auto& [text, part] : cases)
        EXPECT_NE(error_of(GivenEnv(), {}, text).find(part), std::string::npos)
            << text << ": " << error_of(GivenEnv(), {}, text);
    for (const auto& [name, value] : Pairs{{"SUBSTRATE_AGENT_IDLE_SECS", "10m"},
                                           {"SUBSTRATE_AGENT_IDLE_SECS", ""},
                                           {"SUBSTRATE_AGENT_IDLE_SECS", "0"},
                                           {"SUBSTRATE_API_READ_MS", "-1"},
                                           {"SUBSTRATE_AGENT_IDLE_SECS", "-9223372036854775808"},
                                           {"SUBSTRATE_WORLD_IDLE_SECS", "9223372036854775807"},
                                           {"SUBSTRATE_STANDBY", "yes"}})
        EXPECT_TRUE(error_of(GivenEnv(Pairs{{name, value}}), {}, "").starts_with(name + ": must be"))
            << name << value;
    EXPECT_EQ(error_of(GivenEnv(), {{"standby", "1"}}, ""), "--standby: must be true or false");
    EXPECT_TRUE(error_of(GivenEnv(), {{"nothing", "1"}}, "").starts_with("--nothing: is no setting"));
}

TEST(Settings, AFileOfOthersIsRefused) {
    std::string directory = testing::TempDir() + "settings-XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    const std::string path = directory + "/agent.yaml";
    EXPECT_TRUE(load_settings(GivenEnv(), {}, path));
    std::ofstream(path) << "standby: false\n";
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    const auto read = load_settings(GivenEnv(), {}, path);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_FALSE(read->standby);
    ASSERT_EQ(::chmod(path.c_str(), 0664), 0);
    const auto writable = load_settings(GivenEnv(), {}, path);
    ASSERT_FALSE(writable);
    EXPECT_EQ(writable.error().code(), Errc::denied);
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    std::ofstream(path) << std::string(70'000, '#');
    EXPECT_FALSE(load_settings(GivenEnv(), {}, path));
    std::filesystem::create_symlink(path, directory + "/link");
    EXPECT_FALSE(load_settings(GivenEnv(), {}, directory + "/link"));
    EXPECT_FALSE(load_settings(GivenEnv(), {}, directory));
    std::filesystem::remove_all(directory);
}

TEST(Settings, ListensOnLoopbackAddressesOnly) {
    EXPECT_TRUE(Settings().listen.empty());
    const auto read =
        read_settings(GivenEnv(Pairs{{"SUBSTRATE_LISTEN", "127.0.0.1:80"}}), {}, "", "agent.yaml");
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->listen, "127.0.0.1:80");
    for (const char* good : {"127.0.0.1:0", "127.255.0.9:65535", "[::1]:8080"}) {
        const auto endpoint = read_listen(good);
        ASSERT_TRUE(endpoint) << good;
        EXPECT_EQ(sys::to_string(*endpoint), good);
    }
    for (const char* wrong :
         {"8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "127.0.0.1: 1", ":80",
          "::1:80", "[127.0.0.1]:80", "[::1]", "[::1:80", "localhost:80", "0.0.0.0:80", "[::]:80",
          "10.0.0.1:80", "[::ffff:127.0.0.1]:80", "127.1:80", "*:80"}) {
        const auto endpoint = read_listen(wrong);
        ASSERT_FALSE(endpoint) << wrong;
        EXPECT_EQ(endpoint.error().code(), Errc::invalid) << wrong;
        EXPECT_FALSE(endpoint.error().advice().empty()) << wrong;
    }
    EXPECT_EQ(error_of({}, {{"listen", "0.0.0.0:80"}}, ""),
              "--listen: 0.0.0.0 can be reached by other machines, or is none of ours");
}

}  // namespace
}  // namespace substrate::supervisor
