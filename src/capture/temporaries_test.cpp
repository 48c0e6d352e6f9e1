#include "capture/temporaries.hpp"

#include <fcntl.h>

#include "capture/testing.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

using testing::dump_tree;
using testing::open_dir;
using testing::read_text;
using testing::shell;

constexpr const char* kPrefix = ".substrate-apply.spn_1.";

// A project, a source and a place for the journal; what a crash leaves is made by hand.
class TemporariesTest : public ::testing::Test {
  protected:
    TemporariesTest() { shell(root_.path(), "mkdir -p project/sub source/sub journal"); }
    std::string at(const std::string& name) const { return root_.path() + "/" + name; }
    // The name that an apply would have taken in `path`.
    std::string take(const std::string& path, const std::string& target, Temporaries::Use use) {
        Temporaries temporaries(kPrefix, journal_.get());
        const auto name = temporaries.name(open_dir(at("project/" + path)).get(), path, target, use);
        EXPECT_TRUE(name) << name.error().message();
        return name.value_or("");
    }
    Result<> settle() { return settle_temporaries(project_.get(), source_.get(), journal_.get(), kPrefix); }
    void expect_settled() {
        const auto settled = settle();
        ASSERT_TRUE(settled) << settled.error().describe();
        EXPECT_EQ(dump_tree(at("journal")).find("temporaries"), std::string::npos);
        EXPECT_EQ(dump_tree(at("project")).find(kPrefix), std::string::npos) << dump_tree(at("project"));
    }

    testing::TempDir root_;
    sys::UniqueFd project_ = (shell(root_.path(), "mkdir project"), open_dir(at("project")));
    sys::UniqueFd source_ = (shell(root_.path(), "mkdir source"), open_dir(at("source")));
    sys::UniqueFd journal_ = (shell(root_.path(), "mkdir journal"), open_dir(at("journal")));
};

TEST_F(TemporariesTest, WithoutAJournalThereIsNothingToDo) {
    shell(at("project"), "echo x >.substrate-apply.0; echo y >" + std::string(kPrefix) + "7");
    const std::string before = dump_tree(at("project"));
    ASSERT_TRUE(settle());
    EXPECT_EQ(dump_tree(at("project")), before);
}

TEST_F(TemporariesTest, HalfMadeCopiesGoAndNothingElse) {
    shell(at("project"), "echo x >.substrate-apply.0; echo keep >sub/f");
    shell(at("project"), "echo half >sub/" + take("sub", "f", Temporaries::Use::disposable));
    shell(at("project"), "mkdir -p " + take("", "tree", Temporaries::Use::disposable) + "/deep");
    expect_settled();
    EXPECT_EQ(read_text(at("project/sub/f")), "keep\n");
    EXPECT_EQ(read_text(at("project/.substrate-apply.0")), "x\n");
    ASSERT_TRUE(settle()) << "once more is nothing";
}

TEST_F(TemporariesTest, ADirectoryThatHadLeftItsSourceArrives) {
    shell(at("project"), "echo old >sub/name");
    const std::string made = take("sub", "name", Temporaries::Use::directory);
    shell(at("project"), "mkdir sub/" + made + "; echo new >sub/" + made + "/in");
    expect_settled();
    EXPECT_EQ(read_text(at("project/sub/name/in")), "new\n");
}

TEST_F(TemporariesTest, ADirectoryThatCanBeMadeAgainGoes) {
    shell(root_.path(), "mkdir source/sub/name; echo old >project/sub/name");
    const std::string made = take("sub", "name", Temporaries::Use::directory);
    shell(at("project"), "mkdir sub/" + made);
    expect_settled();
    EXPECT_EQ(read_text(at("project/sub/name")), "old\n");
}

TEST_F(TemporariesTest, TheFileThatADirectoryReplacedGoes) {
    const std::string made = take("sub", "name", Temporaries::Use::directory);
    shell(at("project"), "mkdir sub/name; echo old >sub/" + made);
    expect_settled();
    EXPECT_TRUE(open_dir(at("project/sub/name")));
}

TEST_F(TemporariesTest, WhatWasNeverMadeOrHasATornRecordIsNoFailure) {
    take("sub", "f", Temporaries::Use::disposable);
    shell(root_.path(), "printf 'xsub/" + std::string(kPrefix) + "9' >>journal/temporaries");
    shell(at("project"), "rm -r sub");
    expect_settled();
}

TEST_F(TemporariesTest, LinksAndOtherNamesAreLeftAlone) {
    shell(root_.path(),
          "mkdir outside; ln -s ../outside project/link; echo x >outside/" + std::string(kPrefix) + "0");
    shell(root_.path(), "echo x >project/mine; printf 'xmine\\0mine\\0xlink/" + std::string(kPrefix) +
                            "0\\0f\\0' >journal/temporaries");
    ASSERT_TRUE(settle());
    EXPECT_EQ(read_text(at("project/mine")), "x\n");
    EXPECT_EQ(read_text(at("outside/" + std::string(kPrefix) + "0")), "x\n");
}

}  // namespace
}  // namespace substrate::capture
