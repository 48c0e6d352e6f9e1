#include "egress/activity.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace substrate::egress {
namespace {

// A listener on loopback, at a port that the kernel chooses.
struct Listener {
    sys::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};

    Listener() {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(socket.get(), 8), 0);
        EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    }
    // 0, or errno.
    int connect(sys::UniqueFd& client) const {
        client = sys::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
                   ? 0
                   : errno;
    }
};

class Activity : public testing::Test {
  protected:
    Listener listener_;
    // As it comes to the gateway: the same socket by another descriptor.
    sys::UniqueFd theirs_{::fcntl(listener_.socket.get(), F_DUPFD_CLOEXEC, 0)};
    std::vector<sys::UniqueFd> ours_;

    std::pair<ActivityWatch, sys::UniqueFd> watch() {
        ours_.push_back(std::move(listener_.socket));
        auto made = ActivityWatch::make(ours_);
        EXPECT_TRUE(made) << made.error().describe();
        ours_.clear();
        return std::move(*made);
    }
};

TEST_F(Activity, NothingIsAskedForWhereNothingHappens) {
    auto [agent, memory] = watch();
    auto gateway = ActivityNote::open(memory.get());
    ASSERT_TRUE(gateway) << gateway.error().describe();
    EXPECT_FALSE(agent.stirred());
    EXPECT_EQ(gateway->commands(), 0u);
    agent.begin_command();
    EXPECT_EQ(gateway->commands(), 1u);
    EXPECT_FALSE(agent.stirred());
}

TEST_F(Activity, WhatWaitsIsSeenBeforeItIsTakenAndAfter) {
    auto [agent, memory] = watch();
    auto gateway = ActivityNote::open(memory.get()).value();
    sys::UniqueFd client;
    ASSERT_EQ(listener_.connect(client), 0);
    EXPECT_TRUE(agent.stirred()) << "nobody has accepted it yet";
    gateway.stir();
    const sys::UniqueFd accepted(::accept4(theirs_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(accepted);
    EXPECT_TRUE(agent.stirred()) << "it is open";
    gateway.rest();
    EXPECT_FALSE(agent.stirred());
}

TEST_F(Activity, WithoutItsGatewayNothingListens) {
    auto [agent, memory] = watch();
    sys::UniqueFd client;
    EXPECT_EQ(listener_.connect(client), 0);
    theirs_.reset();
    sys::UniqueFd late;
    EXPECT_EQ(listener_.connect(late), ECONNREFUSED) << "the agent's watch keeps no socket open";
    EXPECT_FALSE(agent.stirred());
}

TEST_F(Activity, MemoryThatCouldBeCutIsRefused) {
    const sys::UniqueFd plain(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(plain.get(), 4096), 0);
    EXPECT_EQ(ActivityNote::open(plain.get()).error().code(), Errc::invalid);
    auto [agent, memory] = watch();
    EXPECT_NE(::ftruncate(memory.get(), 0), 0);
    EXPECT_EQ(errno, EPERM);
}

}  // namespace
}  // namespace substrate::egress
