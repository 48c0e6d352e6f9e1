#include "capture/diff_builder.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "capture/testing.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

using testing::Scratch;

// Whether a mount namespace can be had without a user namespace; tried in a child.
bool may_make_mount_namespace() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::unshare(CLONE_NEWNS) == 0 ? 0 : 1);
    int status = -1;
    return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

FsDiff diff_of(const OverlayLayers& layers, const DiffBuilder::Limits& limits = {}) {
    DiffBuilder builder(limits);
    EXPECT_TRUE(walk_overlay(layers, [&](const Change& c) { return builder.add(c); }).has_value());
    return builder.finish();
}

FsDiff diff_of(const std::vector<std::string>& names, const DiffBuilder::Limits& limits = {}) {
    DiffBuilder builder(limits);
    struct ::statx st{};
    for (const auto& name : names) {
        const bool dir = name.ends_with('/');
        st.stx_mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644;
        st.stx_size = name.size();
        const std::string path = dir ? name.substr(0, name.size() - 1) : name;
        EXPECT_TRUE(builder
                        .add({.path = path,
                              .kind = ChangeKind::create,
                              .type = dir ? FileType::directory : FileType::regular,
                              .after = &st})
                        .has_value());
    }
    return builder.finish();
}

TEST(DiffBuilder, AnEmptyDiffHasNoHash) {
    const FsDiff diff = diff_of(std::vector<std::string>{});
    EXPECT_TRUE(diff.empty());
    EXPECT_EQ(diff.tree_hash, "");
    EXPECT_EQ(diff.summary, "");
}

TEST(DiffBuilder, OrderDoesNotMatter) {
    std::vector<std::string> names;
    for (int i = 0; i < 500; ++i)
        names.push_back("f" + std::to_string(i * 7919 % 500) + (i % 5 == 0 ? "/" : ""));
    const DiffBuilder::Limits limits{.max_files = 20, .max_dirs = 5};
    const FsDiff forward = diff_of(names, limits);
    std::ranges::reverse(names);
    EXPECT_EQ(diff_of(names, limits), forward);
    std::ranges::sort(names);
    EXPECT_EQ(diff_of(names, limits), forward);
    EXPECT_TRUE(forward.truncated);
    EXPECT_EQ(forward.entries.size(), 25u);
    EXPECT_EQ(forward.files, 400u);
    EXPECT_EQ(forward.dirs, 100u);
    EXPECT_EQ(forward.summary, "100 dirs, 400 files (truncated, see tree_hash)");
    EXPECT_EQ(forward.tree_hash.size(), 5u + 32u);
    EXPECT_TRUE(forward.tree_hash.starts_with("xxh3:"));
    EXPECT_TRUE(std::ranges::is_sorted(forward.entries, {}, &FsEntry::path));
    // The hash covers what is not listed.
    names.pop_back();
    EXPECT_NE(diff_of(names, limits).tree_hash, forward.tree_hash);
    // And is the same under other limits.
    names.push_back("zzz");
    EXPECT_EQ(diff_of(names).tree_hash, diff_of(names, limits).tree_hash);
}

TEST(DiffBuilder, DirectoriesHaveNoSize) {
    const FsDiff diff = diff_of(std::vector<std::string>{"d/"});
    ASSERT_EQ(diff.entries.size(), 1u);
    EXPECT_EQ(diff.entries[0].size, 0u);
}

TEST(DiffBuilder, TheSameChangeHasTheSameHashEachTime) {
    SKIP_WITHOUT_OVERLAY();
    std::string hashes[2];
    for (auto& hash : hashes) {
        Scratch s;
        s.prepare("mkdir d; echo a > d/a; echo b > b");
        s.run("echo x > n; rm b; ln -s t l; echo longer > d/a; mkdir e");
        hash = diff_of(s.layers()).tree_hash;
    }
    EXPECT_EQ(hashes[0], hashes[1]);
}

TEST(DiffBuilder, RecognisesARename) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("mkdir d; echo one > one; echo longer > three");
    s.run("mv one d/eins; mv three drei; echo new > new");
    const FsDiff diff = diff_of(s.layers());
    ASSERT_EQ(diff.entries.size(), 3u);
    EXPECT_EQ(diff.entries[0].path, "d/eins");
    EXPECT_EQ(diff.entries[0].kind, ChangeKind::rename);
    EXPECT_EQ(diff.entries[0].renamed_from, "one");
    EXPECT_EQ(diff.entries[1].path, "drei");
    EXPECT_EQ(diff.entries[1].renamed_from, "three");
    EXPECT_EQ(diff.entries[2].kind, ChangeKind::create);
    EXPECT_EQ(diff.files, 3u);
    EXPECT_EQ(diff.created, 1u);
    EXPECT_EQ(diff.modified, 2u);
    EXPECT_EQ(diff.deleted, 0u);
}

TEST(DiffBuilder, RecognisesARenameByInodeInAMountOfRoot) {
    Scratch s;
    s.prepare("echo 1 > a; echo 2 > b");
    // The origin tells inodes only to a mount with privileges in the first user namespace.
    if (sys::effective_uid() != 0 || !may_make_mount_namespace())
        GTEST_SKIP() << "no mount namespace without a user namespace";
    testing::shell(
        s.at("."),
        "unshare -m sh -ec 'mount -t overlay overlay -o lowerdir=project,upperdir=upper,workdir=work merged; "
        "cd merged; mv a c; mv b d; echo more >> d'");
    auto layers = s.layers();
    layers.xattrs = XattrNamespace::trusted;
    if (::testing::Test::HasFailure()) return;
    const auto origin = read_origin(layers.upper, "c", layers.xattrs);
    ASSERT_TRUE(origin.has_value());
    if (!origin->inode) GTEST_SKIP() << "the origin names no inode here";
    DiffBuilder builder({}, layers.xattrs);
    ASSERT_TRUE(walk_overlay(layers, [&](const Change& c) { return builder.add(c); }).has_value());
    const FsDiff diff = builder.finish();
    ASSERT_EQ(diff.entries.size(), 2u);
    EXPECT_EQ(diff.entries[0].renamed_from, "a");
    EXPECT_EQ(diff.entries[1].renamed_from, "b");
}

TEST(DiffBuilder, AmbiguousRenamesStayApart) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("echo 1 > a; echo 2 > b");  // equal in size, time and mode
    s.run("mv a c; mv b d");
    for (const auto& entry : diff_of(s.layers()).entries) EXPECT_NE(entry.kind, ChangeKind::rename);
}

}  // namespace
}  // namespace substrate::capture
