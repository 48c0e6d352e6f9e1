#include "agent/exchange.hpp"

#include <gtest/gtest.h>

#include "sys/socket.hpp"

namespace substrate::agent {
namespace {

bool readable(int fd) { return sys::wait_readable(fd, 0).value_or(false); }

TEST(Exchange, TellsTheServerOncePerNews) {
    int told = 0;
    Exchange exchange([&] { ++told; });
    exchange.begin({.content_type = "a"});
    exchange.write("b");
    EXPECT_EQ(told, 1);
    // Who goes now has not heard all of it.
    EXPECT_TRUE(exchange.ready());
    EXPECT_FALSE(exchange.finished());
    auto ready = exchange.take();
    ASSERT_TRUE(ready.head);
    EXPECT_EQ(ready.head->content_type, "a");
    EXPECT_TRUE(ready.in_pieces);
    EXPECT_EQ(ready.bytes, "b");
    EXPECT_FALSE(ready.finished);
    EXPECT_FALSE(exchange.ready());
    exchange.write("c");
    exchange.finish();
    EXPECT_EQ(told, 2);
    EXPECT_TRUE(exchange.finished());
    ready = exchange.take();
    EXPECT_FALSE(ready.head);
    EXPECT_EQ(ready.bytes, "c");
    EXPECT_TRUE(ready.finished);
}

TEST(Exchange, OneAnswerOnly) {
    Exchange exchange([] {});
    exchange.respond({.status = 404});
    exchange.respond({.status = 200});
    exchange.begin({});
    const auto ready = exchange.take();
    ASSERT_TRUE(ready.head);
    EXPECT_EQ(ready.head->status, 404);
    EXPECT_FALSE(ready.in_pieces);
}

TEST(Exchange, RoomComesWhenTheServerTakes) {
    Exchange exchange([] {});
    ASSERT_TRUE(exchange.open_wake());
    exchange.begin({});
    EXPECT_TRUE(exchange.has_room());
    exchange.write(std::string(Exchange::kRoom, 'x'));
    EXPECT_FALSE(readable(exchange.wake_fd()));
    EXPECT_FALSE(exchange.has_room());
    EXPECT_EQ(exchange.take().bytes.size(), Exchange::kRoom);
    EXPECT_TRUE(readable(exchange.wake_fd()));
    exchange.clear_wake();
    EXPECT_TRUE(exchange.has_room());
    exchange.write("y");
    (void)exchange.take();
    EXPECT_FALSE(readable(exchange.wake_fd()));
}

TEST(Exchange, AClientThatGoesIsNoticedAndCostsNothing) {
    Exchange early([] {});
    early.abandon();
    ASSERT_TRUE(early.open_wake());
    EXPECT_TRUE(readable(early.wake_fd()));
    int told = 0;
    Exchange exchange([&] { ++told; });
    ASSERT_TRUE(exchange.open_wake());
    exchange.begin({});
    exchange.abandon();
    EXPECT_TRUE(exchange.gone());
    EXPECT_TRUE(readable(exchange.wake_fd()));
    exchange.write("x");
    EXPECT_TRUE(exchange.take().bytes.empty());
    exchange.write("x");
    exchange.finish();
    EXPECT_EQ(told, 1);
}

TEST(Exchange, LetsGoOfWhatItHolds) {
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = held;
    {
        Exchange exchange([] {});
        exchange.hold(std::move(held));
        EXPECT_FALSE(watch.expired());
    }
    EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace substrate::agent
