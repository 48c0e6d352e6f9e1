#include "shell/render.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace substrate::shell {
namespace {

FsEntry entry(ChangeKind kind, std::string path, FileType type = FileType::regular) {
    FsEntry made;
    made.kind = kind;
    made.path = std::move(path);
    made.type = type;
    return made;
}

// Safe on a terminal: nothing but line ends below the space, nothing that hides or reorders.
void expect_harmless(const std::string& text) {
    for (const char c : text)
        EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20)
            << static_cast<int>(c) << " in " << text;
    for (const char* hidden :
         {"\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x80\x8b", "\xe2\x81\xa6", "\xef\xbb\xbf"})
        EXPECT_EQ(text.find(hidden), std::string::npos) << text;
}

constexpr const char* kHostile =
    "a\x1b[2J\n\r\x07\xc2\x9b"
    "31m\xe2\x80\xae"
    "txt\xe2\x80\x8b\xe2\x81\xa6\xef\xbb\xbf\xff\x7f";

TEST(RenderChanges, OneLineForEachEntry) {
    FsDiff diff;
    diff.entries = {entry(ChangeKind::create, "new"), entry(ChangeKind::modify, "dir/changed"),
                    entry(ChangeKind::remove, "old"),
                    entry(ChangeKind::type_change, "was-file", FileType::directory)};
    FsEntry link = entry(ChangeKind::create, "link", FileType::symlink);
    link.link_target = "some where";
    diff.entries.push_back(link);
    link.kind = ChangeKind::remove;
    diff.entries.push_back(link);
    FsEntry renamed = entry(ChangeKind::rename, "after");
    renamed.renamed_from = "before";
    diff.entries.push_back(renamed);
    EXPECT_EQ(render_changes(diff),
              "  + new\n"
              "  ~ dir/changed\n"
              "  - old\n"
              "  ~ was-file (now a directory)\n"
              "  + link -> some where\n"
              "  - link\n"
              "  ~ after (from before)\n");
    EXPECT_EQ(render_changes({}), "");
}

TEST(RenderChanges, ATruncatedDiffSaysSo) {
    FsDiff diff;
    diff.entries = {entry(ChangeKind::create, "a")};
    diff.truncated = true;
    diff.summary = "3 dirs, 20000 files (truncated, see tree_hash)";
    EXPECT_EQ(render_changes(diff), "  + a\n  … 3 dirs, 20000 files (truncated, see tree_hash)\n");
}

TEST(RenderChanges, HostileNamesBecomeVisible) {
    FsDiff diff;
    diff.entries = {entry(ChangeKind::create, kHostile)};
    FsEntry link = entry(ChangeKind::create, "l", FileType::symlink);
    link.link_target = kHostile;
    diff.entries.push_back(link);
    FsEntry renamed = entry(ChangeKind::rename, "r");
    renamed.renamed_from = kHostile;
    diff.entries.push_back(renamed);
    const std::string text = render_changes(diff);
    expect_harmless(text);
    EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;
    EXPECT_NE(text.find("a\\x1b[2J\\n\\r\\x07\\u{9b}31m\\u{202e}txt"), std::string::npos) << text;
    EXPECT_NE(text.find("\\xff"), std::string::npos) << text;
}

TEST(RenderChanges, OrdinaryNamesOfAllScriptsStay) {
    FsDiff diff;
    diff.entries = {entry(ChangeKind::create, "a b/ä/日本/🍵/back\\slash")};
    EXPECT_EQ(render_changes(diff), "  + a b/ä/日本/🍵/back\\slash\n");
}

TEST(RenderCounts, NamesAllThree) {
    FsDiff diff;
    diff.created = 3;
    diff.modified = 1;
    EXPECT_EQ(render_counts(diff), "3 created, 1 modified, 0 deleted");
}

Span full_span() {
    Span span;
    span.ts_ns = 1'700'000'001'000'000'000;
    span.started_ns = 1'700'000'000'000'000'000;
    span.span_id = "spn_1";
    span.session_id = "ses_1";
    span.world_id = "wld_1";
    span.cmd = "make all";
    span.cwd = span.project = "/home/ada/app";
    span.exit = 2;
    span.outcome = Outcome::failed;
    span.duration_ms = 12.345;
    span.usage = {.cpu_ms = 7, .max_rss_kb = 1024};
    span.enforcement.mount_namespace = span.enforcement.no_new_privs = true;
    span.enforcement.netns = "loopback";
    span.enforcement.seccomp = "enforce";
    span.commit = "applied";
    return span;
}

TEST(RenderSpan, TellsWhatHappened) {
    const std::string text = render_span(full_span());
    for (const char* line :
         {"span        spn_1\n", "command     make all\n", "directory   /home/ada/app\n",
          "outcome     failed (exit 2)\n", "usage       7 ms CPU, 1024 KiB at most\n",
          "world       wld_1 (new)\n", "enforced    mounts, no network, no_new_privs, seccomp enforce\n",
          "capture     overlay\n", "changes     none\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
    EXPECT_EQ(text.find("project "), std::string::npos) << "the same as the directory";
    EXPECT_EQ(text.find("output"), std::string::npos);
}

TEST(RenderSpan, TellsWhyItIsLessThanWanted) {
    Span span = full_span();
    span.capture = {CaptureStrategy::overlay, CaptureStrategy::copy_diff, "no overlayfs"};
    span.degraded = {{"capture", "no overlayfs", "modprobe overlay"}, {"network", "none", ""}};
    span.signal = 9;
    span.exit = 137;
    span.outcome = Outcome::killed;
    span.warm = true;
    span.enforcement = {};
    span.fs_diff.entries = {entry(ChangeKind::create, "a")};
    span.fs_diff.files = span.fs_diff.created = 1;
    span.output.stdout_hash = "xxh3:00";
    span.output.stdout_bytes = 5;
    const std::string text = render_span(span);
    for (const char* line :
         {"capture     copy-diff instead of overlay: no overlayfs\n",
          "degraded    capture: no overlayfs (modprobe overlay)\n", "degraded    network: none\n",
          "outcome     killed, signal 9 (exit 137)\n", "world       wld_1 (warm)\n", "enforced    none\n",
          "changes     1 created, 0 modified, 0 deleted (applied)\n  + a\n", "output      5 bytes xxh3:00\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
}

TEST(RenderSpan, HostileTextBecomesVisible) {
    Span span = full_span();
    span.cmd = span.cwd = span.agent_id = kHostile;
    span.project = std::string("/p") + kHostile;
    span.decision.reason = span.capture.fallback_reason = kHostile;
    span.degraded = {{"capture", kHostile, "fix"}};
    expect_harmless(render_span(span));
    expect_harmless(render_span_line(span));
}

// A trace file may come from somewhere else: every text of a span is foreign.
TEST(RenderSpan, IdsAndWordsAreForeignTextToo) {
    Span span = full_span();
    span.span_id = span.session_id = span.parent_span = span.world_id = span.commit = kHostile;
    span.decision.action = span.output.stdout_hash = span.output.stderr_hash = kHostile;
    span.enforcement.seccomp = kHostile;
    span.degraded = {{kHostile, "reason", kHostile}};
    span.fs_diff.truncated = true;
    span.fs_diff.files = 1;
    span.fs_diff.summary = kHostile;
    expect_harmless(render_span(span));
    expect_harmless(render_span_line(span));
}

TEST(RenderSpanLine, IsOneLine) {
    Span span = full_span();
    span.cmd = "a\nb";
    EXPECT_EQ(render_span_line(span), "2023-11-14T22:13:21  spn_1    2       12.3 ms  a\\nb\n");
}

}  // namespace
}  // namespace substrate::shell
