#include "trace/reader.hpp"

#include "trace/trace_test_support.hpp"

namespace substrate::trace {
namespace {

using Ids = std::vector<std::string>;

Ids ids_of(TraceReader& reader, bool newest, const TraceFilter& filter = {}) {
    Ids ids;
    const auto visit = [&](Json&& record) {
        ids.push_back(record.value("span_id", std::string("-")));
        return true;
    };
    EXPECT_TRUE(newest ? reader.newest_first(filter, visit) : reader.oldest_first(filter, visit));
    return ids;
}

TEST_F(TraceTest, ReadsRotatedFilesInOrderBothWays) {
    auto trace = writer({.max_bytes = 4'000, .keep = 9});
    Ids expected;
    for (int i = 0; i < 20; ++i) {
        expected.push_back("spn_" + std::to_string(i));
        ASSERT_TRUE(trace.append(span(expected.back())));
    }
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), expected);
    std::ranges::reverse(expected);
    EXPECT_EQ(ids_of(reader, true), expected);
    EXPECT_EQ(reader.skipped_count(), 0u);
}

TEST_F(TraceTest, SurvivesEveryKindOfGarbage) {
    put_raw("\n\r\n   \n");
    put_raw("{\"event_type\":\"warning\",\"span_id\":\"spn_crlf\"}\r\n");
    put_raw(std::string("\x00\x00\x00\n", 4));
    put_raw("\xff\xfe\x80 binary \x01\n");
    put_raw("[1,2]\n{\"no\":\"type\"}\n{\"event_type\":3}\nplain words\n");
    put_raw(std::string(1000, '[') + "\n");
    put_raw("{\"event_type\":\"warning\",\"span_id\":\"spn_last\"}\n{\"event_type\":\"warn");
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), (Ids{"spn_crlf", "spn_last"}));
    EXPECT_EQ(reader.skipped_count(), 8u);
    EXPECT_EQ(reader.skipped().at(0).line, 5u);
    EXPECT_EQ(reader.skipped().at(0).reason, "a block of 3 zero bytes");
    EXPECT_TRUE(reader.skipped().at(7).describe().starts_with("trace.jsonl:13 (byte "))
        << reader.skipped().at(7).describe();
    EXPECT_NE(reader.skipped().at(7).reason.find("torn last line"), std::string::npos);
    EXPECT_EQ(ids_of(reader, true), (Ids{"spn_last", "spn_crlf"}));
    EXPECT_EQ(reader.skipped_count(), 16u) << "the same in both directions";
}

TEST_F(TraceTest, AWholeLastLineNeedsNoNewline) {
    put_raw("{\"event_type\":\"warning\",\"span_id\":\"spn_1\"}");
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), Ids{"spn_1"});
    EXPECT_EQ(ids_of(reader, true), Ids{"spn_1"});
    EXPECT_EQ(reader.skipped_count(), 0u);
}

TEST_F(TraceTest, OverLongLinesAreSkipped) {
    put_raw("{\"event_type\":\"warning\",\"span_id\":\"spn_1\"}\n");
    put_raw("{\"event_type\":\"" + std::string(kLongestLine, 'x') + "\"}\n");
    put_raw("{\"event_type\":\"warning\",\"span_id\":\"spn_2\"}\n");
    put_raw(std::string(kLongestLine + 1, 'y'));
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), (Ids{"spn_1", "spn_2"}));
    ASSERT_EQ(reader.skipped_count(), 2u);
    EXPECT_EQ(reader.skipped()[0].line, 2u);
    EXPECT_EQ(reader.skipped()[0].offset, 43u);
    EXPECT_EQ(reader.skipped()[1].line, 4u);
    EXPECT_EQ(ids_of(reader, true), (Ids{"spn_2", "spn_1"}));
    EXPECT_EQ(reader.skipped_count(), 4u);
    EXPECT_EQ(reader.skipped()[3].offset, 43u);
}

// Lines of many lengths around the size of the chunks that are read.
TEST_F(TraceTest, LinesAcrossChunksComeWhole) {
    auto trace = writer();
    Ids expected;
    for (std::size_t i = 0; i < 200; ++i) {
        expected.push_back("spn_" + std::to_string(i));
        ASSERT_TRUE(trace.append(span(expected.back(), std::string((i * 7919) % 30'000, 'x'))));
    }
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), expected);
    for (const std::string& id : expected) {
        const auto found = reader.find_span(id);
        ASSERT_TRUE(found && *found) << id;
        EXPECT_EQ((**found)["span_id"], id);
    }
    std::ranges::reverse(expected);
    EXPECT_EQ(ids_of(reader, true), expected);
}

TEST_F(TraceTest, Filters) {
    auto trace = writer();
    Span one = span("spn_1"), two = span("spn_2"), three = span("spn_3");
    one.agent_id = "bot";
    two.outcome = Outcome::denied;
    two.ts_ns += 10;
    three.session_id = "ses_2";
    three.ts_ns += 20;
    for (const Span* s : {&one, &two, &three}) ASSERT_TRUE(trace.append(*s));
    ASSERT_TRUE(trace.append(event("warning")));
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false, {.session_id = "ses_2"}), Ids{"spn_3"});
    EXPECT_EQ(ids_of(reader, false, {.agent_id = "bot"}), Ids{"spn_1"});
    EXPECT_EQ(ids_of(reader, false, {.outcome = "denied"}), Ids{"spn_2"});
    EXPECT_EQ(ids_of(reader, false, {.event_type = "warning"}), Ids{"-"});
    EXPECT_EQ(ids_of(reader, false, {.since_ns = two.ts_ns}), (Ids{"spn_2", "spn_3"}));
    EXPECT_EQ(ids_of(reader, false, {.session_id = "ses_2", .agent_id = "bot"}), Ids{});
}

TEST_F(TraceTest, AVisitorCanStop) {
    auto trace = writer();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(trace.append(span("spn_" + std::to_string(i))));
    auto reader = *TraceReader::open(dir_);
    int seen = 0;
    ASSERT_TRUE(reader.newest_first({}, [&](Json&&) { return ++seen < 2; }));
    EXPECT_EQ(seen, 2);
}

TEST_F(TraceTest, FindSpanTakesTheNewestAndNoRelative) {
    auto trace = writer({.max_bytes = 4'000, .keep = 9});
    ASSERT_TRUE(trace.append(span("spn_a", "first")));
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(trace.append(span("spn_x" + std::to_string(i))));
    ASSERT_TRUE(trace.append(span("spn_a", "second")));
    Span child = span("spn_b");
    child.parent_span = "spn_a";
    ASSERT_TRUE(trace.append(child));
    Event exec = event("process_exec");
    exec.span_id = "spn_a";
    ASSERT_TRUE(trace.append(exec));
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(reader.load_span("spn_a")->cmd, "second");
    EXPECT_EQ(reader.load_span("spn_x0")->cmd, "true") << "in a rotated file";
    EXPECT_EQ(reader.load_span("spn_zz").error().code(), Errc::not_found);
    EXPECT_FALSE(*reader.find_span(""));
    EXPECT_FALSE(*reader.find_span("spn_\"\n"));
}

TEST_F(TraceTest, AMissingOrDamagedBlobLosesOnlyItsField) {
    Span large = span("spn_1", "start " + std::string(100'000, 'x'));
    auto trace = writer();
    ASSERT_TRUE(trace.append(large));
    const auto blob = std::filesystem::directory_iterator(dir_ + "/blobs")->path();
    std::ofstream(blob, std::ios::app) << "tampered";
    auto reader = *TraceReader::open(dir_);
    const auto damaged = reader.load_span("spn_1");
    ASSERT_TRUE(damaged) << damaged.error().message();
    EXPECT_TRUE(damaged->cmd.starts_with("start xxx"));
    EXPECT_EQ(damaged->cmd.size(), 256u);
    ASSERT_EQ(reader.skipped_count(), 1u);
    EXPECT_TRUE(reader.skipped()[0].reason.starts_with("field 'cmd': the content of blob"))
        << reader.skipped()[0].reason;
    std::filesystem::remove(blob);
    EXPECT_TRUE(reader.load_span("spn_1"));
    ASSERT_TRUE(trace.append(large)) << "written again when it is gone";
    EXPECT_EQ(reader.load_span("spn_1")->cmd, large.cmd);
}

TEST_F(TraceTest, NoTraceIsNotFoundAndAnEmptyOneIsEmpty) {
    EXPECT_EQ(TraceReader::open(dir_).error().code(), Errc::not_found);
    std::filesystem::create_directories(dir_);
    auto reader = *TraceReader::open(dir_);
    EXPECT_EQ(ids_of(reader, false), Ids{});
    EXPECT_FALSE(*reader.find_span("spn_1"));
}

}  // namespace
}  // namespace substrate::trace
