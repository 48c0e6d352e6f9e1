#include "plan/mount_plan.hpp"

#include <gtest/gtest.h>

#include <string>

namespace substrate::plan {
namespace {

MountOp bind(const std::string& path) { return {WorldPath(path), Bind{.source = HostPath(path)}}; }

std::vector<std::string> targets(const std::vector<MountOp>& ops) {
    std::vector<std::string> paths;
    for (const MountOp& op : ops) paths.push_back(op.target.str());
    return paths;
}

TEST(Normalize, PutsParentsBeforeChildren) {
    const auto ops = normalize({bind("/a/b/c"), bind("/a-b"), bind("/b"), bind("/a/b"), bind("/a"),
                                bind("/a/b-c"), bind("/"), bind("/a.d"), bind("/a/\x01")});
    ASSERT_TRUE(ops) << ops.error().message();
    EXPECT_EQ(targets(*ops), (std::vector<std::string>{"/", "/a", "/a/\x01", "/a/b", "/a/b/c", "/a/b-c",
                                                       "/a-b", "/a.d", "/b"}));
}

TEST(Normalize, ResultIsAFixedPoint) {
    const auto once = normalize({bind("/x/y"), bind("/x"), bind("/x/y")});
    ASSERT_TRUE(once);
    const auto twice = normalize(*once);
    ASSERT_TRUE(twice);
    EXPECT_EQ(*once, *twice);
    EXPECT_TRUE(normalize({}).value().empty());
}

TEST(Normalize, FoldsEqualEntries) {
    const auto ops =
        normalize({bind("/a"), {WorldPath("/p"), Mask{}}, bind("/a"), {WorldPath("/p"), Mask{}}, bind("/a")});
    ASSERT_TRUE(ops);
    EXPECT_EQ(targets(*ops), (std::vector<std::string>{"/a", "/p"}));
}

TEST(Normalize, RefusesTwoDifferentMountsOnOnePlace) {
    const auto kinds = normalize({bind("/a"), {WorldPath("/a"), Mask{}}});
    ASSERT_FALSE(kinds);
    EXPECT_EQ(kinds.error().code(), Errc::invalid);
    EXPECT_EQ(kinds.error().message(), "two different mounts on '/a'");
    MountOp writable = bind("/a");
    std::get<Bind>(writable.action).read_only = false;
    EXPECT_FALSE(normalize({bind("/a"), bind("/b"), writable})) << "the same kind with other options";
    EXPECT_FALSE(
        normalize({{WorldPath("/t"), Tmpfs{.mode = 0755}}, {WorldPath("/t"), Tmpfs{.mode = 01777}}}));
}

TEST(Normalize, RefusesTargetsThatAreNotPlain) {
    for (const std::string& target :
         {std::string(), std::string("a"), std::string("./a"), std::string("//"), std::string("//a"),
          std::string("/a//b"), std::string("/a/"), std::string("/."), std::string("/a/."),
          std::string("/./a"), std::string("/.."), std::string("/a/../b"), std::string("/a/.."),
          std::string("../a"), std::string("/a\0b", 4), std::string("\0", 1)}) {
        const auto ops = normalize({bind("/fine"), bind(target)});
        ASSERT_FALSE(ops) << target;
        EXPECT_EQ(ops.error().code(), Errc::invalid);
    }
}

TEST(Normalize, AllowsNamesThatOnlyLookLikeDots) {
    EXPECT_TRUE(
        normalize({bind("/..."), bind("/..a"), bind("/a.."), bind("/.a"), bind("/ "), bind("/\xff")}));
}

TEST(Normalize, NamesTheTargetWithoutItsControlCharacters) {
    const auto ops = normalize({bind("/a\x1b[31m/..")});
    ASSERT_FALSE(ops);
    EXPECT_EQ(ops.error().message(), "mount target '/a\\x1b[31m/..' is not normalised");
}

TEST(MountOpText, OneLineForEachKind) {
    const auto text = [](const char* target, MountAction action) {
        return to_text(MountOp{WorldPath(target), std::move(action)});
    };
    EXPECT_EQ(text("/usr", Bind{.source = HostPath("/usr")}), "bind     /usr from /usr (ro)");
    EXPECT_EQ(
        text("/dev/null",
             Bind{.source = HostPath("/dev/null"), .read_only = false, .optional = true, .device = true}),
        "bind     /dev/null from /dev/null (rw, device, optional)");
    EXPECT_EQ(text("/t", Tmpfs{.mode = 01777}), "tmpfs    /t (mode 1777)");
    EXPECT_EQ(text("/t", Tmpfs{.mode = 0700, .size_bytes = 4096, .read_only = true}),
              "tmpfs    /t (mode 0700, size 4096, ro)");
    EXPECT_EQ(text("/proc", Proc{}), "proc     /proc");
    EXPECT_EQ(text("/dev/pts", Devpts{}), "devpts   /dev/pts");
    EXPECT_EQ(text("/k", Mask{}), "mask     /k");
    EXPECT_EQ(text("/s", ReadOnly{}), "readonly /s");
    EXPECT_EQ(text("/l\n", Symlink{"to\nthere"}), "symlink  /l\\n to to\\nthere");
    EXPECT_EQ(text("/d", Directory{.mode = 0555}), "dir      /d (mode 0555)");
}

}  // namespace
}  // namespace substrate::plan
