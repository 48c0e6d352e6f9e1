#include "supervisor/home.hpp"

#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

// Paths end up in mount plans and are compared as strings.
TEST(Home, PathsAreNormalisedAtTheDoor) {
    test_support::FakeEnv env;
    for (const char* same : {"/a/b", "/a/b/", "//a/b", "/a//b", "/a/./b", "/./a/b/./"}) {
        env.variables = {{"SUBSTRATE_HOME", same}, {"XDG_RUNTIME_DIR", same}};
        const auto home = locate_home(env);
        ASSERT_TRUE(home) << home.error().describe();
        EXPECT_EQ(home->path, "/a/b") << same;
        EXPECT_EQ(capture_roots(env, *home)[0], "/a/b/overlay");
        EXPECT_EQ(capture_roots(env, *home)[1], "/a/b/substrate") << same;
        env.variables = {{"HOME", same}};
        EXPECT_EQ(locate_home(env)->path, "/a/b/.substrate") << same;
    }
}

TEST(Home, WhatCannotBeTheStateIsRefusedWithAdvice) {
    test_support::FakeEnv env;
    for (const char* wrong : {"a", "./a", "/a/../b", "/..", "/", "//"}) {
        env.variables = {{"SUBSTRATE_HOME", wrong}};
        const auto home = locate_home(env);
        ASSERT_FALSE(home) << wrong;
        EXPECT_EQ(home.error().code(), Errc::invalid);
        EXPECT_FALSE(home.error().advice().empty());
    }
}

}  // namespace
}  // namespace substrate::supervisor
