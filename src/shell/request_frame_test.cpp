// The request that the entry point sends by itself, and the one that the ordinary client
// makes of the same process: the agent must not be able to tell them apart.
#include "start/request_frame.hpp"

#include <gtest/gtest.h>
#include <limits.h>
#include <unistd.h>

#include <array>

#include "codec/cbor.hpp"
#include "codec/frame.hpp"
#include "shell/run.hpp"
#include "start/program_identity.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/protocol.hpp"
#include "sys/process.hpp"

namespace substrate::shell {
namespace {

using Variables = std::vector<std::string>;

// What the program knows of its environment.
class GivenEnv : public Env {
  public:
    explicit GivenEnv(const Variables& variables) : variables_(variables) {}
    std::int64_t realtime_ns() const override { return 0; }
    std::int64_t monotonic_ns() const override { return 0; }
    void random(std::span<std::uint8_t>) const override {}
    std::optional<std::string> variable(std::string_view name) const override {
        for (const std::string& variable : variables_)
            if (variable.starts_with(std::string(name) + "=")) return variable.substr(name.size() + 1);
        return std::nullopt;
    }

  private:
    const Variables& variables_;
};

std::string cwd() {
    std::array<char, PATH_MAX> path{};
    return ::getcwd(path.data(), path.size());
}

// Empty where the entry point would leave the request to the ordinary client.
std::string written(const Variables& variables, std::string_view line, std::size_t room = 48 * 1024,
                    bool ephemeral = false) {
    std::vector<const char*> environment;
    for (const std::string& variable : variables) environment.push_back(variable.c_str());
    environment.push_back(nullptr);
    const std::string where = cwd();
    std::string frame(room, '\0');
    frame.resize(start::write_request({.line = line,
                                       .ephemeral = ephemeral,
                                       .cwd = where,
                                       .environment = environment.data(),
                                       .umask = sys::current_umask(),
                                       .agent_identity = "stat:0123456789abcdef",
                                       .observes_output = true},
                                      frame));
    return frame;
}

Json decoded(const std::string& bytes) {
    FrameReader reader;
    reader.feed(bytes);
    auto payload = reader.take();
    EXPECT_TRUE(payload && *payload);
    EXPECT_EQ(reader.pending(), 0u);
    auto json = from_cbor(**payload, {.max_bytes = 1 << 20, .max_depth = 8});
    EXPECT_TRUE(json) << (json ? "" : json.error().message());
    return json ? *json : Json();
}

Json ordinary(const Variables& variables, const std::string& line, bool ephemeral = false) {
    const GivenEnv env(variables);
    const Console console{.env = env, .home = {}, .environment = variables};
    ExecRequest request;
    request.cmd = line;
    request.ephemeral = ephemeral;
    request.observes_output = true;
    EXPECT_TRUE(fill_from_process(console, request));
    Json json = supervisor::to_json(request);
    json["type"] = "exec";
    json["version"] = kProtocolVersion;
    json["agent"] = "stat:0123456789abcdef";
    json["want_span"] = false;
    // By way of the codec, as it travels.
    return from_cbor(to_cbor(json), {.max_bytes = 1 << 20, .max_depth = 8}).value();
}

void expect_same(const Variables& variables, const std::string& line, bool ephemeral = false) {
    const std::string frame = written(variables, line, 48 * 1024, ephemeral);
    ASSERT_FALSE(frame.empty()) << line;
    EXPECT_EQ(decoded(frame), ordinary(variables, line, ephemeral));
}

const Variables kUsual = {"TERM=xterm", "ZZ=last", "HOME=/home/x",   "AWS_SECRET=1", "PATH=/bin:/usr/bin",
                          "A=1",        "A=",      "LC_ALL=C.UTF-8", "_=x",          "LC_.x=no",
                          "EMPTY=",     "Homer=1"};

TEST(RequestFrame, IsWhatTheOrdinaryClientSends) {
    expect_same(kUsual, "true");
    expect_same(kUsual, "true", true);
    expect_same({}, "a");
    for (const std::size_t size : {23u, 24u, 255u, 256u, 40'000u})
        expect_same(kUsual, std::string(size, 'x'));
    expect_same({"LANG=de_DE", "NAME=gr\xc3\xbc\xc3\x9f"}, "echo gr\xc3\xbc\xc3\x9f \xe2\x9c\x93");
    expect_same({"USER=\xff\xfe", "B\xff=1", "B\x01=2"}, "printf '\xff'\n\ttwo lines");
    Variables many;
    for (int i = 0; i < 200; ++i)
        many.push_back("V" + std::to_string(i * 7919 % 200) + "=" + std::string(i, 'v'));
    expect_same(many, "true");
}

TEST(RequestFrame, TakesWhatTheEnvironmentSaysOfTheRequest) {
    const std::string uuid = "01a205be-4245-7085-bc9d-4d2b227e6740";
    expect_same(
        {"SUBSTRATE_SESSION_ID=ses_" + uuid, "SUBSTRATE_SPAN_ID=spn_" + uuid, "SUBSTRATE_AGENT_ID=a b"},
        "true");
}

TEST(RequestFrame, LeavesWhatIsOutOfTheOrdinary) {
    const std::string uuid = "01a205be-4245-7085-bc9d-4d2b227e6740";
    for (const Variables& variables : std::vector<Variables>{
             {"SUBSTRATE_SESSION_ID=ses_" + uuid.substr(1)},
             {"SUBSTRATE_SESSION_ID=" + uuid},
             {"TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
             {"SUBSTRATE_SPAN_ID=ses_" + uuid},
             {"SUBSTRATE_SPAN_ID=spn_" + uuid, "SUBSTRATE_SPAN_ID=spn_" + uuid},
             {"SUBSTRATE_AGENT_ID="},
             {"SUBSTRATE_AGENT_ID=a\x1b[m"},
             {"SUBSTRATE_AGENT_ID=" + std::string(129, 'a')},
             {"PATH=/bin", "PATH=/usr/bin"},
             {"no equals sign"},
             Variables(300, "A=1"),
         })
        EXPECT_EQ(written(variables, "true"), "") << variables.front();
}

TEST(RequestFrame, IsWholeOrNotAtAll) {
    const std::size_t size = written(kUsual, "true").size();
    for (std::size_t room = 0; room < size; ++room) ASSERT_EQ(written(kUsual, "true", room), "") << room;
    EXPECT_EQ(written(kUsual, std::string(48 * 1024, 'x')), "");
    EXPECT_EQ(written({"A=" + std::string(48 * 1024, 'x')}, "true"), "");
}

TEST(ProgramIdentity, IsFoundBesideTheRunningProgram) {
    std::array<char, PATH_MAX> path;
    ASSERT_TRUE(start::find_sibling("shell_test", path.data(), path.size()));
    const auto self = std::string(path.data());
    EXPECT_TRUE(self.ends_with("/shell_test"));
    EXPECT_FALSE(start::find_sibling("no such program", path.data(), path.size()));
    for (std::size_t size = 1; size <= self.size(); ++size)
        EXPECT_FALSE(start::find_sibling("shell_test", path.data(), static_cast<unsigned>(size))) << size;
    EXPECT_TRUE(start::find_sibling("shell_test", path.data(), static_cast<unsigned>(self.size() + 1)));
    EXPECT_EQ(supervisor::program_identity(self).size(), start::kIdentitySize);
}

}  // namespace
}  // namespace substrate::shell
