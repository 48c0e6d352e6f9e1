#include "base/path_pattern.hpp"

#include <gtest/gtest.h>

namespace substrate {
namespace {

PathPatterns of(const std::vector<std::string>& patterns) {
    auto compiled = PathPatterns::compile(patterns);
    EXPECT_TRUE(compiled) << compiled.error().message();
    return compiled ? std::move(*compiled) : PathPatterns{};
}

struct Row {
    const char* pattern;
    const char* path;
    bool named;
};

TEST(PathPatterns, NameWhatTheySay) {
    constexpr Row kRows[] = {
        {"/p/key", "/p/key", true},
        {"/p/key", "/p/key/below", true},
        {"/p/key", "/p/keys", false},
        {"/p/key", "/p", false},
        {"/p/*.pem", "/p/a.pem", true},
        {"/p/*.pem", "/p/.pem", true},
        {"/p/*.pem", "/p/a.pem/x", true},
        {"/p/*.pem", "/p/d/a.pem", false},
        {"/p/*.pem", "/p/a.pem.txt", false},
        {"/p/*.pem", "/q/a.pem", false},
        {"/p/**/.env", "/p/.env", true},
        {"/p/**/.env", "/p/a/b/.env", true},
        {"/p/**/.env", "/p/a/.env/x/y", true},
        {"/p/**/.env", "/p/a/.envrc", false},
        {"/p/**/.env", "/q/.env", false},
        {"/p/**/.env", "/p", false},
        {"/p/**", "/p", true},
        {"/p/**", "/p/x", true},
        {"/p/a/**/b/*.key", "/p/a/b/x.key", true},
        {"/p/a/**/b/*.key", "/p/a/c/b/b/x.key", true},
        {"/p/a/**/b/*.key", "/p/a/c/x.key", false},
        {"/p/**/**/x", "/p/x", true},
        {"/p/?", "/p/a", true},
        {"/p/?", "/p/\xc3\xa4", true},
        {"/p/?", "/p/ab", false},
        {"/p/?", "/p/\xff", true},
        {"/p/[a-c]x", "/p/bx", true},
        {"/p/[a-c]x", "/p/dx", false},
        {"/p/[!a-c]x", "/p/dx", true},
        {"/p/[!a-c]x", "/p/ax", false},
        {"/p/[^a]", "/p/b", true},
        {"/p/[]a]", "/p/]", true},
        {"/p/[a-]", "/p/-", true},
        {"/p/[\xc3\xa4\xc3\xb6]", "/p/\xc3\xb6", true},
        {"/p/[\\]]", "/p/]", true},
        {"/p/\\*", "/p/*", true},
        {"/p/\\*", "/p/x", false},
        {"/p/a*b*c", "/p/aXbXbXc", true},
        {"/p/a*b*c", "/p/aXcXb", false},
        {"/p/*a*a*a*a*b", "/p/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"/p/*[0-9]", "/p/a1b2", true},
        {"/p/*[0-9]", "/p/a1b", false},
        {"/**/id_rsa", "/home/u/.ssh/id_rsa", true},
        {"/**/id_rsa", "/id_rsa", true},
        {"/", "/anything", true},
    };
    for (const Row& row : kRows)
        EXPECT_EQ(of({row.pattern}).names(row.path), row.named) << row.pattern << ' ' << row.path;
}

TEST(PathPatterns, AnyOfThemIsEnough) {
    const PathPatterns patterns = of({"/a", "/p/*.key", "/p/**/.env"});
    EXPECT_TRUE(patterns.names("/p/x.key"));
    EXPECT_TRUE(patterns.names("/p/d/.env"));
    EXPECT_FALSE(patterns.names("/p/d/x.key"));
    EXPECT_FALSE(of({}).names("/"));
}

TEST(PathPatterns, ALiteralMeansItself) {
    const std::string odd = "/p/[x]*?\\y";
    EXPECT_TRUE(of({literal_pattern(odd)}).names(odd));
    EXPECT_TRUE(of({literal_pattern(odd) + "/*.k"}).names(odd + "/a.k"));
    EXPECT_FALSE(of({literal_pattern(odd)}).names("/p/x*?\\y"));
    EXPECT_TRUE(has_glob("a[") && has_glob("\\") && has_glob("*") && !has_glob("a]b"));
}

TEST(PathPatterns, WhatCannotBeUsedIsRefusedWithItsReason) {
    for (const char* wrong :
         {"", "rel/*", "/p/[a", "/p/[", "/p/[]", "/p/[!]", "/p/x\\", "/p/../x", "/p/./x", "/p/[a\\"}) {
        const auto compiled = PathPatterns::compile({"/fine", wrong});
        ASSERT_FALSE(compiled) << wrong;
        EXPECT_EQ(compiled.error().code(), Errc::invalid);
        EXPECT_TRUE(compiled.error().message().contains(std::string("\"") + wrong + "\""))
            << compiled.error().message();
    }
    std::string deep;
    for (std::size_t i = 0; i < PathPatterns::kMostComponents; ++i) deep += "/d";
    EXPECT_TRUE(of({deep}).names(deep));
    EXPECT_FALSE(PathPatterns::compile({deep + "/d"}));
}

TEST(PathPatterns, TellsTheWayToWhatItNames) {
    const PathPatterns patterns = of({"/p/src/**/*.c", "/p/a/*/key"});
    for (const char* on_it :
         {"/", "/p", "/p/src", "/p/src/x/y", "/p/src/x.c", "/p/src/x.c/below", "/p/a/b", "/p/a/b/key"})
        EXPECT_TRUE(patterns.leads_to(on_it)) << on_it;
    for (const char* beside : {"/q", "/p/srcs", "/p/b", "/p/a/b/c"})
        EXPECT_FALSE(patterns.leads_to(beside)) << beside;
    EXPECT_FALSE(of({}).leads_to("/"));
    EXPECT_EQ(of({"/p/src/**/*.c", "/**", "/p/\\[x]/*", "/whole"}).heads(),
              (std::vector<std::string>{"/p/src", "/", "/p/[x]", "/whole"}));
}

TEST(PathPatterns, ARenamedDirectoryMustKeepWhatIsNamedBelow) {
    const PathPatterns patterns = of({"/p/**/.env", "/p/a/*/key", "/p/v/**/s"});
    // Below the project every place is as good for a pattern that begins with `**`.
    EXPECT_TRUE(patterns.keeps_names("/p/x", "/p/y"));
    EXPECT_TRUE(patterns.keeps_names("/p/x/y", "/p/z"));
    EXPECT_FALSE(patterns.keeps_names("/p/x", "/tmp/x"));
    EXPECT_TRUE(patterns.keeps_names("/tmp/x", "/p/x"));
    // Here it is the place that counts.
    EXPECT_FALSE(patterns.keeps_names("/p/a", "/p/b"));
    EXPECT_FALSE(patterns.keeps_names("/p/a/1", "/p/1"));
    EXPECT_TRUE(patterns.keeps_names("/p/a/1", "/p/a/2"));
    EXPECT_TRUE(patterns.keeps_names("/p/a/1/deep", "/p/b"));
    EXPECT_FALSE(patterns.keeps_names("/p/v/x", "/p/w"));
    EXPECT_TRUE(patterns.keeps_names("/p/v/x", "/p/v/y/z"));
    // The parents of a literal path.
    EXPECT_FALSE(of({"/p/d/secret"}).keeps_names("/p/d", "/p/e"));
    EXPECT_TRUE(of({"/p/d/secret"}).keeps_names("/p/x", "/p/e"));
    // What is named as a whole keeps all.
    EXPECT_TRUE(patterns.keeps_names("/p/a", "/p/x/.env/a"));
}

}  // namespace
}  // namespace substrate
