#include "trace/writer.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "codec/span_json.hpp"
#include "trace/reader.hpp"
#include "trace/trace_test_support.hpp"

namespace substrate::trace {
namespace {

std::size_t lines_in(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

TEST_F(TraceTest, OneRecordIsOneLine) {
    auto trace = writer();
    ASSERT_TRUE(trace.append(span("spn_1", "echo 'a\nb' --token=x")));
    ASSERT_TRUE(trace.append(event("warning", {{"message", "m"}})));
    const std::string text = content();
    ASSERT_EQ(lines_in(text), 2u);
    const auto record = parse_json(text.substr(0, text.find('\n')));
    ASSERT_TRUE(record);
    EXPECT_EQ((*record)["cmd"], "echo 'a\nb' --token=[REDACTED]");
    EXPECT_TRUE(text.ends_with("}\n"));
}

TEST_F(TraceTest, AnObserverSeesEventsAsTheyAreRecorded) {
    auto trace = writer();
    std::vector<Json> seen;
    trace.observe([&](const Event& event, const Json& record) {
        EXPECT_EQ(event.type, record.at("event_type").get<std::string>());
        seen.push_back(record);
    });
    ASSERT_TRUE(trace.append(event("approval", {{"command", "x --token=hunter2"}})));
    ASSERT_TRUE(trace.append(span("spn_1", "true")));
    trace.observe(nullptr);
    ASSERT_TRUE(trace.append(event("warning", {{"message", "m"}})));
    ASSERT_EQ(seen.size(), 1u);
    const std::string text = content();
    EXPECT_EQ(seen[0], *parse_json(text.substr(0, text.find('\n'))));
    EXPECT_EQ(seen[0].dump().find("hunter2"), std::string::npos);
}

TEST_F(TraceTest, FilesAreForTheirOwnerOnly) {
    put_raw("");
    ::chmod(path().c_str(), 0644);
    ::chmod(dir_.c_str(), 0755);
    auto trace = writer();
    ASSERT_TRUE(trace.append(span("spn_1", std::string(100'000, 'x'))));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_)) {
        struct stat st{};
        ASSERT_EQ(::stat(entry.path().c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 07777, entry.is_directory() ? 0700u : 0600u) << entry.path();
    }
}

TEST_F(TraceTest, RefusesWhatSomebodyMayHavePlanted) {
    std::filesystem::create_directories(dir_);
    ::chmod(dir_.c_str(), 0700);
    ASSERT_EQ(::symlink((root_ + "/elsewhere").c_str(), path().c_str()), 0);
    const auto linked = TraceWriter::open(dir_);
    ASSERT_FALSE(linked);
    EXPECT_EQ(linked.error().code(), Errc::safety);
    EXPECT_FALSE(std::filesystem::exists(root_ + "/elsewhere"));
    std::filesystem::remove(path());
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
    EXPECT_EQ(TraceWriter::open(dir_).error().code(), Errc::safety);
    std::filesystem::remove(path());
    ::chmod(dir_.c_str(), 0777);
    EXPECT_EQ(TraceWriter::open(dir_).error().code(), Errc::safety);
    ::chmod(dir_.c_str(), 0700);
    if (::geteuid() == 0) {
        put_raw("");
        ASSERT_EQ(::chown(path().c_str(), 12345, 12345), 0);
        EXPECT_EQ(TraceWriter::open(dir_).error().message(), "'trace.jsonl' belongs to uid 12345");
    }
}

TEST_F(TraceTest, LargeFieldsGoToBlobsAndComeBack) {
    Span large = span("spn_big", std::string(70'000, 'c') + "\xff");
    for (int i = 0; i < 1000; ++i)
        large.fs_diff.entries.push_back({.path = "dir/file" + std::to_string(i), .size = 1});
    auto trace = writer();
    ASSERT_TRUE(trace.append(large));
    ASSERT_TRUE(trace.append(large));
    EXPECT_LT(content().size(), 2u * 65536);
    EXPECT_EQ(lines_in(content()), 2u);
    const auto record = parse_json(content().substr(0, content().find('\n')));
    ASSERT_TRUE(record);
    EXPECT_EQ((*record)["fs_diff"]["encoding"], "json");
    EXPECT_TRUE((*record)["fs_diff"]["blob"].get<std::string>().starts_with("xxh3:"));
    const auto blobs = std::filesystem::directory_iterator(dir_ + "/blobs");
    EXPECT_EQ(std::distance(begin(blobs), end(blobs)), 2) << "equal contents are kept once";
    const auto back = TraceReader::open(dir_)->load_span("spn_big");
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(to_json(*back), to_json(large));
}

TEST_F(TraceTest, ARecordOfManySmallFieldsStillFits) {
    Json fields = Json::object();
    for (int i = 0; i < 5000; ++i) fields["field" + std::to_string(i)] = "some value";
    auto trace = writer();
    ASSERT_TRUE(trace.append(event("warning", fields)));
    EXPECT_LT(content().size(), 2000u);
    auto reader = *TraceReader::open(dir_);
    Json seen;
    ASSERT_TRUE(reader.oldest_first({}, [&](Json&& record) { return seen = std::move(record), true; }));
    EXPECT_EQ(seen["field4999"], "some value");
    EXPECT_EQ(reader.skipped_count(), 0u);
}

TEST_F(TraceTest, RotationKeepsSoManyFiles) {
    auto trace = writer({.max_bytes = 4'000, .keep = 2});
    put_raw("old\n", "trace.jsonl.3");
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(trace.append(span("spn_" + std::to_string(i))));
    EXPECT_TRUE(std::filesystem::exists(path("trace.jsonl.2")));
    EXPECT_FALSE(std::filesystem::exists(path("trace.jsonl.3")));
    EXPECT_LE(std::filesystem::file_size(path("trace.jsonl.1")), 4'000u);
    EXPECT_LE(std::filesystem::file_size(path()), 4'000u);
    EXPECT_NE(content().find("spn_29"), std::string::npos);
}

TEST_F(TraceTest, AWriterFollowsTheRotationOfAnother) {
    auto one = writer({.max_bytes = 4'000});
    auto two = writer({.max_bytes = 1'000'000});
    ASSERT_TRUE(two.append(span("spn_first")));
    std::filesystem::rename(path(), path("trace.jsonl.1"));
    ASSERT_TRUE(two.append(span("spn_second")));
    EXPECT_EQ(content("trace.jsonl.1").find("spn_second"), std::string::npos);
    EXPECT_NE(content().find("spn_second"), std::string::npos);
    ASSERT_TRUE(one.append(span("spn_third")));
    EXPECT_EQ(lines_in(content()), 2u);
}

TEST_F(TraceTest, BlobsOfDroppedFilesGoWithThem) {
    auto trace = writer({.max_bytes = 1'000, .keep = 1});
    ASSERT_TRUE(trace.append(span("spn_big", std::string(100'000, 'x'))));
    const auto blob = std::filesystem::directory_iterator(dir_ + "/blobs")->path();
    const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, blob.c_str(), old, 0), 0);
    ASSERT_TRUE(trace.append(span("spn_2")));
    EXPECT_TRUE(std::filesystem::exists(blob)) << "its record is in trace.jsonl.1";
    ASSERT_TRUE(trace.append(span("spn_3")));
    EXPECT_FALSE(std::filesystem::exists(blob));
}

TEST_F(TraceTest, ATornLineIsEndedFirst) {
    std::filesystem::create_directories(dir_);
    put_raw("{\"event_type\":\"warn");
    auto trace = writer();
    ASSERT_TRUE(trace.append(span("spn_1")));
    ASSERT_TRUE(trace.append(span("spn_2")));
    put_raw(std::string("{\"torn\0\0\0", 9));
    ASSERT_TRUE(trace.append(span("spn_3")));
    auto reader = *TraceReader::open(dir_);
    std::vector<std::string> ids;
    ASSERT_TRUE(reader.oldest_first({}, [&](Json&& r) { return ids.push_back(r["span_id"]), true; }));
    EXPECT_EQ(ids, (std::vector<std::string>{"spn_1", "spn_2", "spn_3"}));
    ASSERT_EQ(reader.skipped_count(), 2u);
    EXPECT_EQ(reader.skipped()[0].line, 1u);
    EXPECT_EQ(reader.skipped()[1].line, 4u);
}

// A file size limit cuts a write short as a full disk does.
TEST_F(TraceTest, AWriteCutShortLeavesNothingBehind) {
    auto trace = writer();
    ASSERT_TRUE(trace.append(span("spn_1")));
    const std::string before = content();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        auto own = writer();
        const rlimit limit{before.size() + 100, before.size() + 100};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
        const auto appended = own.append(span("spn_2"));
        ::_exit(!appended && appended.error().code() == Errc::os ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(content(), before);
    ASSERT_TRUE(trace.append(span("spn_3")));
    EXPECT_EQ(lines_in(content()), 2u);
}

TEST_F(TraceTest, EveryFsyncModeWrites) {
    for (const Fsync mode : {Fsync::never, Fsync::span, Fsync::always}) {
        auto trace = writer({.fsync = mode});
        EXPECT_TRUE(trace.append(span("spn_1")));
        EXPECT_TRUE(trace.append(event("warning")));
    }
    EXPECT_EQ(lines_in(content()), 6u);
}

}  // namespace
}  // namespace substrate::trace
