#include "supervisor/channel.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "codec/cbor.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {
namespace {

std::size_t open_descriptors() {
    DIR* dir = ::opendir("/proc/self/fd");
    if (dir == nullptr) return 0;
    std::size_t count = 0;
    while (::readdir(dir) != nullptr) ++count;
    ::closedir(dir);
    return count;
}

class ChannelTest : public ::testing::Test {
  protected:
    void SetUp() override {
        before_ = open_descriptors();
        int fds[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ours_ = std::make_unique<Channel>(sys::UniqueFd(fds[0]));
        theirs_ = sys::UniqueFd(fds[1]);
        null_ = sys::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    void TearDown() override {
        ours_.reset();
        theirs_.reset();
        null_.reset();
        EXPECT_EQ(open_descriptors(), before_) << "descriptors leaked";
    }
    void send_raw(std::string_view bytes, int fds = 0) {
        const std::vector<int> list(static_cast<std::size_t>(fds), null_.get());
        ASSERT_TRUE(sys::send_message(theirs_.get(), bytes, list));
    }
    std::string failure() {
        const auto received = ours_->receive();
        return received ? "received" : received.error().message();
    }
    static std::string message(const char* type) { return frame(to_cbor(Json{{"type", type}})); }

    std::size_t before_ = 0;
    std::unique_ptr<Channel> ours_;
    sys::UniqueFd theirs_;
    sys::UniqueFd null_;
};

TEST_F(ChannelTest, MessagesAndDescriptorsArrive) {
    Channel peer(std::move(theirs_));
    const int fds[] = {null_.get(), null_.get(), null_.get()};
    const Json sent = {{"type", "exec"}, {"bytes", "\xff\xfe"}, {"n", -1}};
    ASSERT_TRUE(peer.send(sent, fds));
    const auto received = ours_->receive();
    ASSERT_TRUE(received && *received);
    EXPECT_EQ(**received, sent);
    const auto taken = ours_->take_fds();
    ASSERT_EQ(taken.size(), 3u);
    for (const auto& fd : taken) EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_TRUE(ours_->take_fds().empty());
    EXPECT_FALSE(ours_->has_buffered());
}

TEST_F(ChannelTest, FragmentsBecomeOneMessage) {
    for (const char byte : message("fragmented")) send_raw({&byte, 1});
    const auto received = ours_->receive();
    ASSERT_TRUE(received && *received);
    EXPECT_EQ((**received)["type"], "fragmented");
}

TEST_F(ChannelTest, SeveralMessagesInOnePieceComeOneByOne) {
    const std::string third = message("third");
    send_raw(message("first") + message("second") + third.substr(0, 5));
    EXPECT_EQ((**ours_->receive())["type"], "first");
    EXPECT_TRUE(ours_->has_buffered());
    EXPECT_EQ((**ours_->receive())["type"], "second");
    send_raw(third.substr(5));
    EXPECT_EQ((**ours_->receive())["type"], "third");
    EXPECT_FALSE(ours_->has_buffered());
}

TEST_F(ChannelTest, AMegabyteCommandLineFits) {
    Channel peer(std::move(theirs_));
    const std::string line((3u << 20) + 7, 'x');
    std::jthread sender([&] { EXPECT_TRUE(peer.send({{"type", "exec"}, {"cmd", line}})); });
    const auto received = ours_->receive();
    ASSERT_TRUE(received && *received) << received.error().message();
    EXPECT_EQ((**received)["cmd"].get_ref<const std::string&>(), line);
}

TEST_F(ChannelTest, ALengthOverTheLimitIsRefusedBeforeItsBytesCome) {
    send_raw(std::string("\xff\xff\xff\x7f", 4), 2);
    EXPECT_EQ(failure(), "a frame of 2147483647 bytes; at most 8388608 are allowed");
    EXPECT_NE(failure(), "received") << "the stream has no next message";
}

TEST_F(ChannelTest, AClosedPeerBetweenMessagesIsNoError) {
    send_raw(message("last"));
    theirs_.reset();
    EXPECT_TRUE(ours_->receive().value());
    EXPECT_FALSE(ours_->receive().value());
    EXPECT_FALSE(ours_->receive().value());
}

TEST_F(ChannelTest, AClosedPeerWithinAMessageIsOne) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{4}, message("x").size() - 1}) {
        int fds[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        Channel channel{sys::UniqueFd(fds[0])};
        {
            const sys::UniqueFd peer(fds[1]);
            const int passed[] = {null_.get()};
            ASSERT_TRUE(sys::send_message(peer.get(), message("x").substr(0, size), passed));
        }
        const auto received = channel.receive();
        ASSERT_FALSE(received) << size;
        EXPECT_EQ(received.error().code(), Errc::unavailable);
    }
}

TEST_F(ChannelTest, APeerThatDiedWithOurMessageUnreadHasClosed) {
    ASSERT_TRUE(ours_->send({{"type", "unread"}}));
    theirs_.reset();
    EXPECT_FALSE(ours_->receive().value());
}

TEST_F(ChannelTest, SendingToNobodyIsAnErrorAndNoSignal) {
    theirs_.reset();
    EXPECT_FALSE(ours_->send({{"type", "x"}}));
}

TEST_F(ChannelTest, DescriptorsThatNobodyTakesDoNotPileUp) {
    send_raw(message("one"), sys::kMaxPassedFds);
    EXPECT_TRUE(ours_->receive().value());
    send_raw(message("two"), 1);
    EXPECT_EQ(failure(), "too many descriptors");
}

TEST_F(ChannelTest, MoreDescriptorsThanFitInOneMessageAreRefused) {
    // Past our own wrapper, which would not send so many.
    const std::string bytes = message("many");
    iovec io{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 40)] = {};
    msghdr header{};
    header.msg_iov = &io;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * 40);
    const std::vector<int> fds(40, null_.get());
    std::copy(fds.begin(), fds.end(), reinterpret_cast<int*>(CMSG_DATA(rights)));
    ASSERT_GT(::sendmsg(theirs_.get(), &header, MSG_NOSIGNAL), 0);
    EXPECT_EQ(failure(), "a message was cut short");
}

TEST_F(ChannelTest, WhatIsNoObjectIsRefused) {
    send_raw(frame(to_cbor(Json::array({1, 2}))) + frame("\xff") + frame(""), 3);
    EXPECT_EQ(failure(), "a message that is not an object");
    EXPECT_NE(failure(), "received");
    EXPECT_NE(failure(), "received");
}

}  // namespace
}  // namespace substrate::supervisor
