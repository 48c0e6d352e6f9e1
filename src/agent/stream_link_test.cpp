#include "agent/stream_link.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "sys/socket.hpp"

namespace substrate::agent {
namespace {

class StreamLinkTest : public ::testing::Test {
  protected:
    StreamLinkTest() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), link_([this] { ++told_; }) {
        link_.wake_by(wake_.get());
    }
    bool woken() {
        std::uint64_t count = 0;
        return ::read(wake_.get(), &count, sizeof count) == sizeof count;
    }
    int told_ = 0;
    sys::UniqueFd wake_;
    StreamLink link_;
};

TEST_F(StreamLinkTest, MessagesKeepTheirOrderAndBytesOfOneKindGrowTogether) {
    link_.send_bytes("a");
    link_.send_bytes("b");
    link_.send_text("{}");
    link_.send_bytes("c");
    EXPECT_EQ(told_, 1);
    EXPECT_EQ(link_.unsent_bytes(), 3U);
    EXPECT_EQ(link_.take().message->bytes, "ab");
    EXPECT_EQ(link_.take().message->bytes, "{}");
    link_.close({1000, "end"});
    link_.send_text("late");
    EXPECT_TRUE(link_.take().message->binary);
    const auto last = link_.take();
    EXPECT_FALSE(last.message);
    EXPECT_EQ(last.close->code, 1000);
}

TEST_F(StreamLinkTest, ASlowReaderIsWaitedForAndComesBackByAWake) {
    EXPECT_TRUE(link_.has_room_out());
    const std::string piece(64 * 1024, 'x');
    for (int i = 0; i < 4; ++i) link_.send_bytes(piece);
    EXPECT_FALSE(link_.has_room_out());
    EXPECT_FALSE(woken());
    (void)link_.take();
    EXPECT_TRUE(woken());
    EXPECT_TRUE(link_.has_room_out());
}

TEST_F(StreamLinkTest, InputIsBoundedAndControlPassesIt) {
    EXPECT_TRUE(link_.has_room_in());
    link_.deliver({true, std::string(StreamLink::kRoom, 'x')});
    EXPECT_TRUE(woken());
    EXPECT_FALSE(link_.has_room_in());
    link_.deliver({false, "{}"});
    EXPECT_EQ(link_.receive(/*control_only=*/true)->bytes, "{}");
    EXPECT_FALSE(link_.receive(/*control_only=*/true));
    EXPECT_EQ(told_, 0);
    EXPECT_TRUE(link_.receive());
    EXPECT_EQ(told_, 1);
    EXPECT_FALSE(link_.has_messages());
}

TEST_F(StreamLinkTest, NobodyWaitsForAClientThatHasGone) {
    link_.send_bytes(std::string(StreamLink::kRoom, 'x'));
    link_.abandon();
    EXPECT_TRUE(woken());
    EXPECT_TRUE(link_.gone());
    EXPECT_TRUE(link_.has_room_out());
    link_.send_bytes("more");
    EXPECT_EQ(link_.unsent_bytes(), StreamLink::kRoom);
}

}  // namespace
}  // namespace substrate::agent
