#include "supervisor/session_world.hpp"
#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

class FindProjectTest : public test_support::SupervisorTest {
  protected:
    void make(const std::string& path) const { ASSERT_TRUE(sys::make_dirs(base_ + path, 0755)); }
    std::string found(const std::string& cwd, const std::string& home = "/home") const {
        const std::string path = find_project(base_ + cwd, base_ + home);
        return path.starts_with(base_) ? path.substr(base_.size()) : path;
    }
};

TEST_F(FindProjectTest, ARepositoryIsOneProject) {
    make("/srv/repo/.git");
    make("/srv/repo/src/deep");
    EXPECT_EQ(found("/srv/repo"), "/srv/repo");
    EXPECT_EQ(found("/srv/repo/src/deep"), "/srv/repo");
}

TEST_F(FindProjectTest, TheNearestMarkCounts) {
    make("/srv/repo/.git");
    make("/srv/repo/vendor/lib/src");
    write(base_ + "/srv/repo/vendor/lib/.git", "gitdir: ../../.git/modules/lib\n");
    EXPECT_EQ(found("/srv/repo/vendor/lib/src"), "/srv/repo/vendor/lib") << "a submodule's .git is a file";
    EXPECT_EQ(found("/srv/repo/vendor"), "/srv/repo");
}

TEST_F(FindProjectTest, AProfileMarksAProjectToo) {
    make("/srv/plain/src");
    write(base_ + "/srv/plain/.substrate-profile", "");
    EXPECT_EQ(found("/srv/plain/src"), "/srv/plain");
}

TEST_F(FindProjectTest, WithoutAMarkItIsTheDirectoryItself) {
    make("/srv/a/b");
    EXPECT_EQ(found("/srv/a/b"), "/srv/a/b");
    EXPECT_EQ(found("/srv/does/not/exist"), "/srv/does/not/exist");
    EXPECT_EQ(find_project("/", "/root"), "/");
}

TEST_F(FindProjectTest, DotfilesDoNotMakeTheHomeOneProject) {
    make("/home/.git");
    make("/home/team/app");
    EXPECT_EQ(found("/home/team/app"), "/home/team/app");
    EXPECT_EQ(found("/home"), "/home") << "but in the home itself it is meant";
    make("/home/team/.git");
    EXPECT_EQ(found("/home/team/app"), "/home/team");
}

TEST_F(FindProjectTest, NothingAboveTheHomeCounts) {
    make("/.git");
    make("/home/team");
    make("/homework/x");
    EXPECT_EQ(found("/home/team"), "/home/team");
    EXPECT_EQ(found("/homework/x"), "") << "not in the home: the base has the mark";
}

}  // namespace
}  // namespace substrate::supervisor
