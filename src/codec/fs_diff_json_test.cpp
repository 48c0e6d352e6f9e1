#include "codec/fs_diff_json.hpp"

#include <gtest/gtest.h>

namespace substrate {
namespace {

FsDiff sample() {
    FsDiff diff;
    diff.entries = {
        {.path = "a",
         .kind = ChangeKind::create,
         .mode = 0644,
         .uid = 1000,
         .gid = 100,
         .size = 5,
         .mtime_ns = 1},
        {.path = "b\xff", .kind = ChangeKind::modify, .mode = 04755, .size = UINT64_MAX, .mtime_ns = -1},
        {.path = "d", .kind = ChangeKind::remove, .type = FileType::directory},
        {.path = "l", .kind = ChangeKind::type_change, .type = FileType::symlink, .link_target = "\xfe/x"},
        {.path = "n", .kind = ChangeKind::rename, .renamed_from = "o\\"},
    };
    diff.files = 4;
    diff.dirs = 1;
    diff.created = 1;
    diff.modified = 3;
    diff.deleted = 1;
    diff.tree_hash = "xxh3:0123";
    diff.summary = "1 dirs, 4 files";
    return diff;
}

TEST(FsDiffJson, ComesBackThroughText) {
    for (const FsDiff& diff : {sample(), FsDiff{}}) {
        const auto parsed = parse_json(dump_json(to_json(diff)));
        ASSERT_TRUE(parsed);
        const auto back = fs_diff_from_json(*parsed);
        ASSERT_TRUE(back) << back.error().message();
        EXPECT_EQ(*back, diff);
    }
}

TEST(FsDiffJson, HasTheContractsShape) {
    const Json value = to_json(sample());
    EXPECT_EQ(value["fs_diff_schema_version"], 1);
    EXPECT_EQ(value["writes"], Json({"a", "n"}));
    EXPECT_EQ(value["mods"], Json({"b\\xff", "l"}));
    EXPECT_EQ(value["mods_escaped"], true);
    EXPECT_EQ(value["deletes"], Json({"d", "o\\"}));
    const Json& first = value["entries"][0];
    EXPECT_EQ(dump_json(first),
              R"({"file_type":"file","gid":100,"kind":"create","mode":"0644",)"
              R"("mtime":"1970-01-01T00:00:00.000000001Z","path":"a","size":5,"uid":1000})");
    EXPECT_EQ(value["entries"][1]["path_escaped"], true);
    EXPECT_EQ(value["entries"][1]["mode"], "4755");
    EXPECT_EQ(value["entries"][4]["from"], "o\\");
    EXPECT_EQ(value["counts"]["modified"], 3);
}

TEST(FsDiffJson, RefusalsNameThePlace) {
    const auto message = [](const char* text) {
        return fs_diff_from_json(*parse_json(text), "/fs_diff").error().message();
    };
    EXPECT_EQ(message("{}"), "'/fs_diff/fs_diff_schema_version' is missing");
    EXPECT_EQ(message(R"({"fs_diff_schema_version":2})"),
              "'/fs_diff/fs_diff_schema_version' is 2; this build reads 1");
    EXPECT_EQ(message(R"({"fs_diff_schema_version":1,"entries":[{"path":"a"}]})"),
              "'/fs_diff/entries/0/kind' is missing");
    EXPECT_EQ(
        message(R"({"fs_diff_schema_version":1,"entries":[{"path":"a","kind":"create","mode":"0999"}]})"),
        "'/fs_diff/entries/0/mode' is not a known word");
    EXPECT_EQ(message("[]"), "'/fs_diff' is not an object");
}

TEST(FsDiffJson, NewMembersAreIgnored) {
    const auto diff = fs_diff_from_json(*parse_json(
        R"({"fs_diff_schema_version":1,"new":{},"entries":[{"path":"a","kind":"create","new":[]}]})"));
    ASSERT_TRUE(diff);
    EXPECT_EQ(diff->entries.at(0).path, "a");
}

}  // namespace
}  // namespace substrate
