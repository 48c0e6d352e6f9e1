#include "world/init_protocol.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "world/packet.hpp"

namespace substrate::world {
namespace {

ExecOrder full_order() {
    return {.slot = {"worlds/w/slots/1", {"spans/a/upper", "spans/b/\xff"}},
            .program = "/bin/ls",
            .argv = {"ls", "", std::string("nul\0inside", 10), "\xff\xfe"},
            .fallback_program = "/bin/sh",
            .fallback_argv = {"sh", "-c", "ls"},
            .environment = {"A=1", "B="},
            .cwd = "/p",
            .umask = 0777,
            .terminal = TerminalOrder{.columns = 132, .rows = 43, .streams = 5},
            .scope_token = true};
}

std::vector<Order> orders() {
    return {full_order(),
            ExecOrder{},
            SignalOrder{.signal = -1, .everything = true},
            SignalOrder{},
            LinkOrder{.addresses = {"198.19.0.1", "fd00::1"},
                      .gateway_hardware = {2, 0, 1, 2, 3, 255},
                      .problem = "none"},
            LinkOrder{},
            SetUpOrder{.plan = std::string("p\0l", 3), .seccomp = "\xff"},
            SetUpOrder{}};
}
std::vector<Event> events() {
    return {Ready{},
            Failed{"step 'x'\n\xff", 13},
            Failed{},
            Exited{.wait_status = 9,
                   .cpu_us = -1,
                   .max_rss_kb = 1LL << 40,
                   .slot = "worlds/w/slots/0",
                   .background = true,
                   .full = {"/tmp", ""}},
            Exited{},
            Quiet{},
            Uplink{},
            TerminalOpened{}};
}

TEST(InitProtocol, OrdersComeBackAsTheyWere) {
    for (const Order& order : orders()) {
        const auto back = decode_order(encode(order));
        ASSERT_TRUE(back) << back.error().message();
        EXPECT_EQ(*back, order);
    }
}

TEST(InitProtocol, EventsComeBackAsTheyWere) {
    for (const Event& event : events()) {
        const auto back = decode_event(encode(event));
        ASSERT_TRUE(back) << back.error().message();
        EXPECT_EQ(*back, event);
    }
}

TEST(InitProtocol, RefusesTruncationsAndWhatFollows) {
    const auto check = [](const std::string& bytes, auto decode) {
        for (std::size_t size = 0; size < bytes.size(); ++size)
            ASSERT_FALSE(decode(std::string_view(bytes).substr(0, size))) << size;
        EXPECT_FALSE(decode(bytes + '\0'));
    };
    for (const Order& order : orders()) check(encode(order), decode_order);
    for (const Event& event : events()) check(encode(event), decode_event);
    EXPECT_EQ(decode_order("").error().message(), "malformed order");
    EXPECT_EQ(decode_event("").error().message(), "malformed event");
}

TEST(InitProtocol, RefusesUnknownKinds) {
    for (int kind = 0; kind < 256; ++kind) {
        const std::string bytes(1, static_cast<char>(kind));
        EXPECT_EQ(decode_event(bytes).has_value(), kind == 0 || (kind >= 3 && kind <= 5)) << kind;
        EXPECT_FALSE(decode_order(bytes)) << kind;
    }
}

TEST(InitProtocol, GarbageIsRefusedOrCanonical) {
    std::mt19937 random(17);
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes;
        for (auto left = random() % 80; left > 0; --left)
            bytes += static_cast<char>(random() % 3 == 0 ? random() % 256 : random() % 4);
        if (const auto order = decode_order(bytes)) {
            ASSERT_EQ(encode(*order), bytes);
        }
        if (const auto event = decode_event(bytes)) {
            ASSERT_EQ(encode(*event), bytes);
        }
    }
}

class PacketTest : public ::testing::Test {
  protected:
    void SetUp() override {
        auto pair = sys::make_seqpacket_pair();
        ASSERT_TRUE(pair);
        pair_ = std::move(*pair);
    }
    sys::SocketPair pair_;
};

TEST_F(PacketTest, SmallAndLargePayloadsArriveWithTheirDescriptors) {
    const sys::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, kMaxInline, kMaxInline + 1, std::size_t{3} << 20}) {
        const std::string payload(size, 'p');
        const int fds[] = {null.get(), null.get(), null.get()};
        ASSERT_TRUE(send_packet(pair_.ours.get(), payload, fds)) << size;
        const auto packet = receive_packet(pair_.theirs.get());
        ASSERT_TRUE(packet) << size << ": " << packet.error().message();
        EXPECT_EQ(packet->payload, payload);
        EXPECT_EQ(packet->fds.size(), 3u) << size;
        EXPECT_FALSE(packet->closed);
    }
}

TEST_F(PacketTest, APayloadOverTheLimitIsRefusedBeforeItIsSent) {
    const auto sent = send_packet(pair_.ours.get(), std::string(kMaxMessage + 1, 'p'), {});
    ASSERT_FALSE(sent);
    EXPECT_NE(sent.error().message().find("too long"), std::string::npos);
    EXPECT_FALSE(sys::wait_readable(pair_.theirs.get(), 0).value());
}

TEST_F(PacketTest, MalformedPacketsAreRefused) {
    for (const char* bytes : {"x", "m", "mjunk", "\xff"}) {
        ASSERT_TRUE(sys::send_message(pair_.ours.get(), bytes));
        const auto packet = receive_packet(pair_.theirs.get());
        ASSERT_FALSE(packet) << bytes;
        EXPECT_EQ(packet.error().message(), "malformed packet");
    }
}

TEST_F(PacketTest, AClosedPeerIsToldApart) {
    pair_.ours.reset();
    const auto packet = receive_packet(pair_.theirs.get());
    ASSERT_TRUE(packet);
    EXPECT_TRUE(packet->closed);
}

}  // namespace
}  // namespace substrate::world
