#include "world/uplink.hpp"

#include <sys/socket.h>

#include <array>
#include <cstdio>

#include "sys/internet_socket.hpp"
#include "sys/nft.hpp"
#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

class UplinkTest : public test_support::WorldTest {
  protected:
    void SetUp() override {
        WorldTest::SetUp();
        if (IsSkipped()) return;
        SUB_SKIP_WITHOUT("netns", facts_.net_namespace.ok ? "" : facts_.net_namespace.reason);
    }
    World launch(const std::vector<IpNetwork>& networks = {}) {
        const auto plan = make_plan(CaptureStrategy::overlay, [&](plan::WorldSpec& spec) {
            spec.network = plan::NetworkMode::gateway;
            spec.networks = networks;
        });
        table_ = plan.uplink.table;
        auto world =
            World::launch(plan, {.init_program = test_support::init_program(), .seccomp = &seccomp_});
        EXPECT_TRUE(world) << world.error().describe();
        return std::move(*world);
    }
    // Of a world whose first command is under way.
    static std::vector<sys::UniqueFd> uplink_of(World& world) {
        for (;;) {
            auto event = world.receive();
            EXPECT_TRUE(event) << event.error().message();
            if (!event) return {};
            if (const auto* failed = std::get_if<Failed>(&*event)) {
                ADD_FAILURE() << failed->message;
                return {};
            }
            if (std::holds_alternative<Uplink>(*event)) return world.take_uplink();
        }
    }
    // What a program of the host prints in the world's network.
    static std::string in_network_of(const World& world, const std::string& command) {
        const std::string line = "nsenter --preserve-credentials --user --net --target " +
                                 std::to_string(world.init_pid()) + " " + command + " 2>&1";
        std::FILE* pipe = ::popen(line.c_str(), "r");
        std::string text;
        std::array<char, 4096> buffer{};
        while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
            text.append(buffer.data(), n);
        ::pclose(pipe);
        return text;
    }

    std::string table_;
};

TEST_F(UplinkTest, LeadsConnectionsToTheGateway) {
    World world = launch({*IpNetwork::parse("203.0.113.0/25"), *IpNetwork::parse("203.0.113.128/25")});
    const auto output = begin(world,
                              "for to in 198.18.3.4/443 fd73:7562:7374:2::1:7/443 203.0.113.200/22; do exec "
                              "3<>/dev/tcp/$to && cat <&3; done",
                              world_ + "/slots/0");
    const auto sockets = uplink_of(world);
    ASSERT_EQ(sockets.size(), kMostUplinkSockets + 1);
    for (const auto& expected : {sys::Endpoint{*IpAddress::parse("198.18.3.4"), 443},
                                 sys::Endpoint{*IpAddress::parse("fd73:7562:7374:2::1:7"), 443},
                                 sys::Endpoint{*IpAddress::parse("203.0.113.200"), 22}}) {
        const int listener = sockets[expected.address.is_v4() ? 0 : kUplinkSockets].get();
        ASSERT_TRUE(*sys::wait_readable(listener, 30'000));
        const auto connection = sys::accept_tcp(listener);
        ASSERT_TRUE(connection && *connection);
        EXPECT_EQ(*sys::original_destination(connection->get()), expected);
        ASSERT_TRUE(sys::write_all(connection->get(), "hello\n"));
    }
    EXPECT_EQ(finish(world, output).output, "hello\nhello\nhello\n");
}

TEST_F(UplinkTest, RefusesAllElseAtOnce) {
    World world = launch();
    const auto output =
        begin(world,
              "for to in tcp/203.0.113.1/80 tcp/10.0.0.1/80 tcp/169.254.169.254/80 tcp/8.8.8.8/53; do\n"
              "  (exec 3<>/dev/$to) 2>&1 | sed -n '$s/.*: //p'\n"
              "done\n"
              "(exec 3<>/dev/udp/203.0.113.1/443; printf x >&3) 2>&1 | sed -n '$s/.*: //p'\n"
              "(exec 3<>/dev/udp/198.18.0.1/443; printf x >&3) 2>&1 | sed -n '$s/.*: //p'\n"
              "(exec 3<>/dev/tcp/2001:db8::1/80) 2>&1 | sed -n '$s/.*: //p'\n"
              "cat /etc/resolv.conf",
              world_ + "/slots/0");
    const auto sockets = uplink_of(world);
    const std::string none = "Connection refused\n", prohibited = "Operation not permitted\n";
    EXPECT_EQ(finish(world, output).output,
              none + none + none + none + prohibited + prohibited + none + "nameserver 127.0.0.53\n");
    ASSERT_EQ(sockets.size(), kMostUplinkSockets + 1);
    const auto refused = sys::refused_packets(sockets.back().get(), table_, "output");
    ASSERT_TRUE(refused) << refused.error().describe();
    EXPECT_GE(refused->packets, 7U);
    EXPECT_FALSE(*sys::wait_readable(sockets[0].get(), 0)) << "something came to the gateway";
}

TEST_F(UplinkTest, NobodyAnswersOnceTheGatewayIsGone) {
    World world = launch();
    {
        const auto output = begin(world, "true", world_ + "/slots/0");
        uplink_of(world);
        finish(world, output);
    }
    const Run run =
        this->run(world, "(exec 3<>/dev/tcp/198.18.3.4/443) 2>&1 | sed -n '$s/.*: //p'", make_slot("1"));
    EXPECT_EQ(run.output, "Connection refused\n");
}

TEST_F(UplinkTest, TheRulesAreWhatNftReads) {
    World world = launch({*IpNetwork::parse("192.0.2.0/24")});
    const auto output =
        begin(world, "(exec 3<>/dev/tcp/203.0.113.1/80) 2>/dev/null; true", world_ + "/slots/0");
    const auto sockets = uplink_of(world);
    finish(world, output);
    const std::string id = table_.substr(table_.find('_') + 1);
    EXPECT_EQ(
        in_network_of(world, "nft list ruleset"),
        "table inet " + table_ +
            " {\n"
            "\tset redirected4 {\n"
            "\t\ttype ipv4_addr\n"
            "\t\tflags interval\n"
            "\t\telements = { 192.0.2.0/24, 198.18.0.0/15 }\n"
            "\t}\n\n"
            "\tset redirected6 {\n"
            "\t\ttype ipv6_addr\n"
            "\t\tflags interval\n"
            "\t\telements = { fd73:7562:7374:2::/111 }\n"
            "\t}\n\n"
            "\tchain output {\n"
            "\t\ttype filter hook output priority filter; policy drop;\n"
            "\t\tip daddr 127.0.0.0/8 accept\n"
            "\t\tip6 daddr ::1 accept\n"
            "\t\tip6 daddr fd73:7562:7374:1::54 accept\n"
            "\t\tlimit rate 10/second log prefix \"substrate-dropped-" +
            id +
            " \"\n"
            "\t\tmeta l4proto tcp counter packets 1 bytes 60 reject with tcp reset\n"
            "\t\tcounter packets 0 bytes 0 reject with icmpx admin-prohibited\n"
            "\t}\n\n"
            "\tchain redirect {\n"
            "\t\ttype nat hook output priority -100; policy accept;\n"
            "\t\tmeta l4proto tcp ip daddr @redirected4 counter packets 0 bytes 0 dnat ip to 127.0.0.54:1\n"
            "\t\tmeta l4proto tcp ip6 daddr @redirected6 counter packets 0 bytes 0 dnat ip6 to "
            "[fd73:7562:7374:1::54]:1\n"
            "\t}\n"
            "}\n");
}

}  // namespace
}  // namespace substrate::world
