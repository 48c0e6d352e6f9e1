#include "broker/policy_file.hpp"

#include <fcntl.h>

#include <thread>

#include "broker/broker_test_support.hpp"

namespace substrate::broker {
namespace {

class PolicyFileTest : public BrokerTest {
  protected:
    Result<std::optional<FileText>> read(const std::string& path, Ground ground = Ground::own) const {
        return read_policy_file(path, ground, places_.uid);
    }
    std::string refusal(const std::string& path, Ground ground = Ground::own) const {
        const auto got = read(path, ground);
        return got ? "read" : got.error().describe();
    }
};

TEST_F(PolicyFileTest, ReadsAFileAndKnowsWhenThereIsNone) {
    write(root_ + "/a", "text");
    const auto got = read(root_ + "/a");
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->text, "text");
    EXPECT_EQ((*got)->stamp, stamp_of(root_ + "/a"));
    EXPECT_FALSE(read(root_ + "/none").value());
    EXPECT_FALSE(read(root_ + "/a/below").value());
    EXPECT_FALSE(stamp_of(root_ + "/none"));
}

TEST_F(PolicyFileTest, TakesOnlyRegularFiles) {
    EXPECT_TRUE(refusal(root_ + "/etc").contains("is a directory"));
    ASSERT_EQ(::mkfifo((root_ + "/fifo").c_str(), 0600), 0);
    EXPECT_TRUE(refusal(root_ + "/fifo").contains("is not a regular file"));
    ASSERT_EQ(::symlink("loop", (root_ + "/loop").c_str()), 0);
    EXPECT_TRUE(refusal(root_ + "/loop").contains("leads in a circle"));
    write(root_ + "/big", std::string(kMaxPolicyBytes + 1, 'x'));
    EXPECT_TRUE(refusal(root_ + "/big").contains("larger than 8 MiB"));
}

// What a person put there must not be passed over for another policy.
TEST_F(PolicyFileTest, WhatCannotBeSeenIsNotNothing) {
    ASSERT_EQ(::symlink("loop", (root_ + "/loop").c_str()), 0);
    ASSERT_EQ(::symlink("nothing", (root_ + "/dangling").c_str()), 0);
    EXPECT_TRUE(stamp_of(root_ + "/loop"));
    EXPECT_TRUE(stamp_of(root_ + "/dangling"));
    EXPECT_TRUE(refusal(root_ + "/dangling").contains("leads nowhere"));
    write(root_ + "/nothing", "text");
    EXPECT_EQ(refusal(root_ + "/dangling"), "read");
    if (sys::effective_uid() == 0) return;  // sees all
    ASSERT_EQ(::mkdir((root_ + "/closed").c_str(), 0), 0);
    EXPECT_TRUE(stamp_of(root_ + "/closed/a"));
    EXPECT_NE(read(root_ + "/closed/a").error().code(), Errc::denied);
    EXPECT_EQ(read(root_ + "/closed/a", Ground::project).error().code(), Errc::denied);
}

TEST_F(PolicyFileTest, BelievesOnlyWhatNobodyElseCanWrite) {
    write(root_ + "/a", "text", 0622);
    EXPECT_TRUE(refusal(root_ + "/a").contains("can be written by other accounts"));
    write(root_ + "/a", "text", 0660);
    EXPECT_TRUE(refusal(root_ + "/a").contains("can be written by other accounts"));
    // Of a project it does not matter: it is not trusted anyway.
    EXPECT_EQ(refusal(root_ + "/a", Ground::project), "read");
    write(root_ + "/a", "text", 0644);
    EXPECT_EQ(refusal(root_ + "/a"), "read");
    ASSERT_EQ(::chmod(root_.c_str(), 0777), 0);
    EXPECT_TRUE(refusal(root_ + "/a").contains("can be written by other accounts")) << "the directory";
    ASSERT_EQ(::chmod(root_.c_str(), 0700), 0);
    if (sys::effective_uid() != 0) return;
    ASSERT_EQ(::chown((root_ + "/a").c_str(), 12345, 0), 0);
    EXPECT_TRUE(refusal(root_ + "/a").contains("uid 12345"));
    EXPECT_TRUE(refusal(root_ + "/a", Ground::project).contains("belongs to another account"));
}

TEST_F(PolicyFileTest, ALinkIsFollowedInOwnPlacesOnly) {
    write(root_ + "/real", "text");
    ASSERT_EQ(::symlink("real", (root_ + "/link").c_str()), 0);
    EXPECT_EQ(refusal(root_ + "/link"), "read");
    EXPECT_TRUE(refusal(root_ + "/link", Ground::project).contains("is a link"));
}

TEST_F(PolicyFileTest, WaitsForAWriterAndNeverReadsHalf) {
    write(root_ + "/a", "old");
    sys::UniqueFd writer = sys::open_path(root_ + "/a", O_WRONLY | O_TRUNC).value();
    ASSERT_TRUE(sys::write_all(writer.get(), "half"));
    const auto got = read(root_ + "/a");
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), Errc::conflict) << got.error().describe();
    ASSERT_TRUE(sys::write_all(writer.get(), " and the rest"));
    writer.reset();
    EXPECT_EQ(read(root_ + "/a").value()->text, "half and the rest");
}

TEST_F(PolicyFileTest, ManyWritesInPlaceAreNeverSeenHalf) {
    const std::string whole(64 << 10, 'x');
    write(root_ + "/a", whole);
    std::jthread writer([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const sys::UniqueFd fd = sys::open_path(root_ + "/a", O_WRONLY | O_TRUNC).value();
            for (std::size_t at = 0; at < whole.size(); at += 4096)
                ASSERT_TRUE(sys::write_all(fd.get(), whole.substr(at, 4096)));
        }
    });
    for (int i = 0; i < 20; ++i)
        if (const auto got = read(root_ + "/a"); got) {
            ASSERT_EQ((*got)->text.size(), whole.size());
        }
}

}  // namespace
}  // namespace substrate::broker
