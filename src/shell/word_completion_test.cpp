#include "shell/word_completion.hpp"

#include <gtest/gtest.h>

namespace substrate::shell {
namespace {

using Words = std::vector<std::string>;

struct Asked {
    std::string kind = "nothing", word;
};

Completion complete(std::string_view before, const Words& names, Asked* asked = nullptr) {
    return complete_word(before, {":diff", ":discard", ":quit"},
                         [&](const std::string& kind, const std::string& word) {
                             if (asked != nullptr) *asked = {kind, word};
                             return names;
                         });
}

TEST(WordCompletion, WhatMayStandThere) {
    struct Case {
        const char* before;
        const char* kind;
        const char* word;
    };
    for (const Case& expected :
         {Case{"gi", "command", "gi"}, Case{"ls fi", "file", "fi"}, Case{"ls | gr", "command", "gr"},
          Case{"a && b; c", "command", "c"}, Case{"echo $(l", "command", "l"}, Case{"./sc", "file", "./sc"},
          Case{"ls >ou", "file", "ou"}, Case{"ls ", "file", ""}, Case{"echo $HO", "variable", "HO"},
          Case{"dd if=fi", "file", "fi"}, Case{"cat a\\ b", "file", "a b"}, Case{"  ma", "command", "ma"},
          Case{"x 'a b' fi", "file", "fi"}, Case{"", "nothing", ""}, Case{"ls 'fi", "nothing", ""},
          Case{"ls; ", "nothing", ""}}) {
        Asked asked;
        (void)complete(expected.before, {}, &asked);
        EXPECT_EQ(asked.kind, expected.kind) << expected.before;
        EXPECT_EQ(asked.word, expected.word) << expected.before;
    }
}

TEST(WordCompletion, NamesAreWrittenSoThatTheShellReadsThem) {
    const Completion found = complete("cat a", {"a b", "a$(rm)", "a", "adir/", "adir", "a"});
    EXPECT_EQ(found.replaced, 1U);
    EXPECT_EQ(found.words, (Words{"a", "a\\ b", "a\\$\\(rm\\)", "adir/"}));
    EXPECT_EQ(complete("cat a\\ b", {"a b c"}).replaced, 4U);
    EXPECT_EQ(complete("cat ~/x", {"~/xy"}).words, Words{"~/xy"});
}

TEST(WordCompletion, VariablesAndOwnCommands) {
    const Completion variable = complete("echo a$HO", {"HOME", "HOSTNAME"});
    EXPECT_EQ(variable.replaced, 3U);
    EXPECT_EQ(variable.words, (Words{"$HOME", "$HOSTNAME"}));
    EXPECT_EQ(complete(":di", {"x"}).words, (Words{":diff", ":discard"}));
    Asked asked;
    (void)complete("echo :di", {}, &asked);
    EXPECT_EQ(asked.kind, "file");
}

}  // namespace
}  // namespace substrate::shell
