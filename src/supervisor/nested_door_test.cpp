#include "supervisor/nested_door.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <list>
#include <memory>

#include "codec/cbor.hpp"
#include "codec/span_json.hpp"
#include "supervisor/channel.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "supervisor/supervisor_test_support.hpp"
#include "sys/host_env.hpp"
#include "sys/socket.hpp"
#include "trace/reader.hpp"

namespace substrate::supervisor {
namespace {

// A clock that goes on when it is told to.
class StillEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override { return 1'700'000'000'000'000'000 + now_ns; }
    std::int64_t monotonic_ns() const override { return now_ns; }
    void random(std::span<std::uint8_t> bytes) const override { host_.random(bytes); }
    std::optional<std::string> variable(std::string_view) const override { return std::nullopt; }
    std::int64_t now_ns = 1'000'000'000;

  private:
    sys::HostEnv host_;
};

constexpr const char* kPolicy =
    "id: default\nmode: enforce\ncommands:\n  denied: [touch no*]\n  isolated: [touch iso*]\n";

class NestedDoorTest : public test_support::SupervisorTest {
  protected:
    void SetUp() override {
        SupervisorTest::SetUp();
        ASSERT_TRUE(sys::make_dirs(base_ + "/state/policies", 0700));
        ASSERT_TRUE(sys::replace_file(base_ + "/state/policies/default.yaml", kPolicy, 0600));
        ASSERT_TRUE(sys::make_dirs(base_ + "/doors", 0700));
        broker_ = std::make_unique<broker::Broker>(
            clock_, broker::places_of(base_ + "/state", base_ + "/user", sys::effective_uid()));
        auto trace = trace::TraceWriter::open(base_ + "/state");
        ASSERT_TRUE(trace) << trace.error().describe();
        trace_ = std::make_unique<trace::TraceWriter>(std::move(*trace));
    }
    void open(const NestedLimits& limits = {}) {
        const sys::UniqueFd doors(::open((base_ + "/doors").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        auto listener = sys::listen_in(doors.get(), "door", 64);
        ASSERT_TRUE(listener) << listener.error().describe();
        // Of this process's own, the search for a parent ends here.
        door_.open(std::move(*listener), ::getppid(), machine_.nested_open, limits);
    }
    void stand_on(const std::string& span_id = "spn_outer", bool own_world = false) {
        NestedGround ground;
        ground.outer.span_id = span_id;
        ground.outer.session_id = "ses_1";
        ground.outer.agent_id = "bot";
        ground.outer.project = project_;
        ground.outer.world_id = "wld_1";
        ground.outer.enforcement.netns = "loopback";
        ground.governed_by = project_;
        ground.ephemeral = own_world;
        ground.commit = own_world ? CommitMode::manual : CommitMode::automatic;
        door_.stand_on(std::move(ground));
    }
    Channel connect() {
        auto socket = sys::connect_stream(base_ + "/doors/door", 5'000);
        EXPECT_TRUE(socket) << socket.error().describe();
        return Channel(std::move(*socket));
    }
    void serve() { door_.serve(machine_, *trace_, *broker_); }
    static Json request(const std::string& line) {
        ExecRequest asked;
        asked.cmd = line;
        asked.cwd = "/somewhere";
        return to_nested_json(asked);
    }
    Json ask(Channel& channel, const Json& message) {
        EXPECT_TRUE(channel.send(message));
        serve();
        const auto reply = channel.receive();
        return reply && *reply ? **reply : Json();
    }
    std::vector<Span> spans() {
        std::vector<Span> all;
        auto reader = trace::TraceReader::open(base_ + "/state");
        if (!reader) return all;
        (void)reader->oldest_first({.event_type = "command_complete"}, [&](Json&& record) {
            if (auto span = span_from_json(record)) all.push_back(std::move(*span));
            return true;
        });
        return all;
    }

    StillEnv clock_;
    Machine machine_{.env = clock_, .facts = {}, .init_program = {}, .cgroups = {}, .capture_roots = {}};
    std::unique_ptr<broker::Broker> broker_;
    std::unique_ptr<trace::TraceWriter> trace_;
    NestedDoor door_;
};

TEST_F(NestedDoorTest, JudgesRecordsAndTakesTheEnd) {
    open();
    stand_on();
    Channel channel = connect();
    const Json reply = ask(channel, request("touch yes"));
    EXPECT_EQ(reply.value("denied", true), false) << reply;
    EXPECT_TRUE(spans().empty()) << "it has not ended";
    clock_.now_ns += 2'000'000;
    EXPECT_EQ(ask(channel, to_json(NestedEnd{.exit = 3, .output = {}})).value("type", ""), "done");
    ASSERT_EQ(spans().size(), 1u);
    const Span span = spans().front();
    EXPECT_EQ(span.span_id, text_of(reply, "span_id"));
    EXPECT_EQ(span.parent_span, "spn_outer");
    EXPECT_EQ(span.session_id, "ses_1");
    EXPECT_EQ(span.agent_id, "bot");
    EXPECT_EQ(span.world_id, "wld_1");
    EXPECT_EQ(span.nested_depth, 1);
    EXPECT_EQ(span.exit, 3);
    EXPECT_EQ(span.outcome, Outcome::failed);
    EXPECT_EQ(span.duration_ms, 2);
    EXPECT_EQ(span.cmd, "touch yes");
    EXPECT_EQ(span.policy_id, "default");
    EXPECT_FALSE(door_.anybody_in());
    EXPECT_EQ(*machine_.nested_open, 0u);
}

TEST_F(NestedDoorTest, ADenialIsASpanAndTheEndOfTheTalk) {
    open();
    stand_on();
    Channel channel = connect();
    const Json reply = ask(channel, request("touch no"));
    EXPECT_EQ(reply.value("denied", false), true) << reply;
    ASSERT_EQ(spans().size(), 1u);
    EXPECT_EQ(spans().front().outcome, Outcome::denied);
    EXPECT_EQ(spans().front().parent_span, "spn_outer");
    EXPECT_EQ(spans().front().nested_depth, 1);
    EXPECT_FALSE(door_.anybody_in());
}

TEST_F(NestedDoorTest, WhatIsToBeIsolatedRunsOnlyInAWorldOfItsOwn) {
    open();
    stand_on();
    Channel refused = connect();
    EXPECT_EQ(ask(refused, request("touch iso")).value("denied", false), true);
    EXPECT_EQ(spans().front().decision.rule, "commands.isolated");
    stand_on("spn_own", /*own_world=*/true);
    Channel allowed = connect();
    EXPECT_EQ(ask(allowed, request("touch iso")).value("denied", true), false);
}

TEST_F(NestedDoorTest, WishesThatAWorldCannotGrant) {
    open();
    stand_on();
    struct Wish {
        const char* member;
        Json value;
        const char* code;
    };
    for (const Wish& wish :
         {Wish{"ephemeral", true, "unsupported"}, Wish{"host_network", true, "safety"},
          Wish{"capture", "direct", "safety"}, Wish{"capture", "copy-diff", "unsupported"},
          Wish{"commit", "manual", "unsupported"}, Wish{"commit", "discard", "unsupported"}}) {
        Json message = request("true");
        message[wish.member] = wish.value;
        Channel channel = connect();
        EXPECT_EQ(text_of(ask(channel, message), "code"), wish.code) << wish.member;
    }
    EXPECT_TRUE(spans().empty());
}

TEST_F(NestedDoorTest, NobodyIsLetInBeforeAWorldRunsACommand) {
    open();
    Channel channel = connect();
    ASSERT_TRUE(channel.send(request("true")));
    serve();
    EXPECT_FALSE(door_.anybody_in());
    EXPECT_FALSE(door_.has_work(clock_.now_ns));
    std::vector<pollfd> polled;
    door_.add_to(polled, clock_.now_ns);
    EXPECT_TRUE(polled.empty());
    stand_on();
    EXPECT_TRUE(door_.has_work(clock_.now_ns));
}

TEST_F(NestedDoorTest, WhoSaysNothingOrGoesAwayIsForgotten) {
    open();
    stand_on();
    Channel silent = connect();
    serve();
    EXPECT_TRUE(door_.anybody_in());
    clock_.now_ns += NestedLimits{}.ask_ns + 1;
    serve();
    EXPECT_FALSE(door_.anybody_in());
    EXPECT_TRUE(spans().empty());
    {
        Channel gone = connect();
        EXPECT_EQ(ask(gone, request("sleep 1")).value("denied", true), false);
    }
    serve();
    ASSERT_EQ(spans().size(), 1u);
    EXPECT_EQ(spans().front().outcome, Outcome::killed);
    EXPECT_EQ(*machine_.nested_open, 0u);
}

TEST_F(NestedDoorTest, TheEndOfTheWorldIsTheEndOfWhatRanInIt) {
    open();
    stand_on();
    Channel running = connect(), silent = connect();
    EXPECT_EQ(ask(running, request("sleep 1")).value("denied", true), false);
    door_.shut(machine_, *trace_);
    ASSERT_EQ(spans().size(), 1u);
    EXPECT_EQ(spans().front().outcome, Outcome::killed);
    EXPECT_EQ(*machine_.nested_open, 0u);
}

TEST_F(NestedDoorTest, NoiseGetsAnErrorOrTheDoor) {
    open();
    stand_on();
    const auto say = [&](std::string_view bytes) {
        auto socket = sys::connect_stream(base_ + "/doors/door", 5'000);
        EXPECT_TRUE(socket);
        (void)sys::send_message(socket->get(), bytes);
        for (int turn = 0; turn < 40; ++turn) serve();
        Channel channel(std::move(*socket));
        const auto reply = channel.receive();
        return reply && *reply ? text_of(**reply, "code") : "closed";
    };
    EXPECT_EQ(say(std::string_view("\xff\xff\xff\xff", 4)), "invalid") << "a length over the cap";
    EXPECT_EQ(say(frame("")), "invalid");
    EXPECT_EQ(say(frame("\xff\xff")), "invalid");
    EXPECT_EQ(say(frame(to_cbor(Json{{"type", "stop"}}))), "invalid");
    EXPECT_EQ(say(frame(to_cbor(Json{{"type", "exec"}}))), "invalid");
    EXPECT_FALSE(door_.anybody_in());
    EXPECT_TRUE(spans().empty());
    // Two questions on one connection.
    Channel twice = connect();
    EXPECT_EQ(ask(twice, request("true")).value("denied", true), false);
    (void)ask(twice, request("true"));
    EXPECT_FALSE(door_.anybody_in());
    ASSERT_EQ(spans().size(), 1u);
    EXPECT_EQ(spans().front().outcome, Outcome::killed);
}

TEST_F(NestedDoorTest, LimitsHoldForOneWorldAndForAll) {
    open({.open = 2,
          .open_in_all = 3,
          .per_command = 3,
          .bytes_per_command = 1u << 20,
          .burst = 5,
          .per_second = 1});
    stand_on();
    std::list<Channel> waiting;
    for (int i = 0; i < 4; ++i) waiting.push_back(connect());
    serve();
    EXPECT_EQ(*machine_.nested_open, 2u) << "of one world";
    waiting.clear();
    *machine_.nested_open += 3;  // of others
    serve();
    serve();
    EXPECT_EQ(*machine_.nested_open, 3u) << "of all worlds: nobody came in";
    *machine_.nested_open -= 3;
    // Those that had waited came and went; the fifth may come, the sixth not yet.
    serve();
    Channel fifth = connect(), sixth = connect();
    serve();
    serve();
    EXPECT_EQ(*machine_.nested_open, 1u) << "more often than may be";
    clock_.now_ns += 1'000'000'000;
    serve();
    EXPECT_EQ(*machine_.nested_open, 2u);
}

TEST_F(NestedDoorTest, ACommandMayHaveSoManyJudgedAndTheNextOneAnew) {
    open({.per_command = 2, .bytes_per_command = 1u << 20});
    stand_on();
    const auto code = [&] {
        Channel channel = connect();
        return text_of(ask(channel, request("touch no")), "code");
    };
    EXPECT_EQ(code(), "");
    EXPECT_EQ(code(), "");
    EXPECT_EQ(code(), "safety");
    EXPECT_EQ(code(), "safety");
    EXPECT_EQ(spans().size(), 2u);
    stand_on();
    EXPECT_EQ(code(), "");
}

TEST_F(NestedDoorTest, AChildOfANestedCommandIsNestedInIt) {
    open({.depth = 2});
    stand_on();
    // The test itself is the nested client; a child of its asks.
    Channel outer = connect();
    const Json first = ask(outer, request("true"));
    ASSERT_EQ(first.value("denied", true), false);
    const auto from_child = [&] {
        int fds[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto socket = sys::connect_stream(base_ + "/doors/door", 5'000);
            const int passed[] = {socket ? socket->get() : 2};
            (void)sys::send_message(fds[1], "x", passed);
            char byte = 0;
            (void)!::read(fds[1], &byte, 1);  // until the parent has seen enough
            ::_exit(0);
        }
        char byte = 0;
        auto received = sys::receive_message(fds[0], std::span(&byte, 1));
        Channel channel(std::move(received->fds.at(0)));
        const Json reply = ask(channel, request("true"));
        (void)::write(fds[0], "x", 1);
        ::close(fds[0]);
        ::close(fds[1]);
        ::waitpid(child, nullptr, 0);
        return std::pair(reply, std::move(channel));
    };
    auto [second, channel] = from_child();
    ASSERT_EQ(second.value("denied", true), false) << second;
    EXPECT_EQ(ask(channel, to_json(NestedEnd{})).value("type", ""), "done");
    ASSERT_EQ(spans().size(), 1u);
    EXPECT_EQ(spans().front().parent_span, text_of(first, "span_id"));
    EXPECT_EQ(spans().front().nested_depth, 2);
}

}  // namespace
}  // namespace substrate::supervisor
