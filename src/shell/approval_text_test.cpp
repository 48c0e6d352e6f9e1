// What the question says, whatever the command would like it to say.
#include <gtest/gtest.h>

#include <algorithm>

#include "broker/approval_question_test_support.hpp"
#include "shell/approval_prompt.hpp"

namespace substrate::shell {
namespace {

using broker::test_support::simple_question;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

TEST(RenderQuestion, SaysAllThatIsAsked) {
    EXPECT_EQ(render_question(simple_question(), 200, false),
              "substrate: may this command run?\n"
              "  command | git push --force\n"
              "       in | /home/ann/project\n"
              "   reason | pushing needs approval\n"
              "     rule | approval.require[0] \"git push *\"\n"
              "   policy | default\n"
              "  session | for this session: git push --force in /home/ann/project and below, while policy "
              "default stays as it is\n"
              "   always  the same in every session\n");
    ApprovalQuestion question = simple_question();
    question.command = "cd x && git push";
    question.parts = {"cd x", "git push"};
    question.scope_pattern = "cd x && git push";
    question.impact = {"writes 134 files, 3 that the host would execute", "reaches packages.example"};
    EXPECT_EQ(render_question(question, 60, false),
              "substrate: may this command run?\n"
              "  command | cd x && git push\n"
              "           would run 2 commands:\n"
              "        1 | cd x\n"
              "        2 | git push\n"
              "       in | /home/ann/project\n"
              "   reason | pushing needs approval\n"
              "     rule | approval.require[0] \"git push *\"\n"
              "   policy | default\n"
              "           a trial run says:\n"
              "   impact | writes 134 files, 3 that the host would execute\n"
              "          | reaches packages.example\n"
              "  session | for this session: cd x && git push in /home/ann\n"
              "          | /project and below, while policy default stays \n"
              "          | as it is\n"
              "   always  the same in every session\n");
    EXPECT_TRUE(
        render_question(question, 60, true).starts_with("\x1b[1msubstrate: may this command run?\x1b[0m\n"));
}

TEST(RenderQuestion, ManyParts) {
    ApprovalQuestion question = simple_question();
    question.parts.assign(23, "ls");
    question.more_parts = 4;
    const std::string text = render_question(question, 80, false);
    EXPECT_TRUE(text.contains("would run 27 commands:\n")) << text;
    EXPECT_TRUE(text.contains("       20 | ls\n           and 7 more\n")) << text;
    EXPECT_FALSE(text.contains("21 |")) << text;
}

TEST(RenderQuestion, NothingFromOutsideReachesTheTerminalAsItIs) {
    const std::string evil =
        "ls\x1b[2J\x1b]0;x\x07\r\n\xe2\x80\xae tpircs.\xc2\x9b"
        "31m\xff \xf3\xa0\x81\x81 \xe2\x80\x8b\b\b\x7f";
    ApprovalQuestion question;
    question.command = question.reason = question.rule = question.pattern = question.policy_id =
        question.directory = question.scope_pattern = evil;
    question.parts = question.impact = {evil, evil};
    for (const std::string& text : {render_question(question, 80, false), render_whole(question, 80)}) {
        for (const std::string_view bad :
             {"\x1b", "\r", "\x07", "\b", "\x7f", "\xe2\x80", "\xc2\x9b", "\xff", "\xf3"})
            EXPECT_FALSE(text.contains(bad));
        EXPECT_TRUE(text.contains("\\x1b[2J")) << text;
        EXPECT_TRUE(text.contains("\\u{202e}")) << text;
        EXPECT_TRUE(text.contains("\\xff")) << text;
    }
    const std::string text = render_question(question, 200, false);
    EXPECT_TRUE(text.contains(
        "note: | the command has characters that are not ASCII: U+009B U+200B U+202E U+E0041\n"))
        << text;
    EXPECT_TRUE(text.contains("note: | the command has bytes that are no characters (\\xNN)\n")) << text;
}

TEST(RenderQuestion, NamesCharactersThatLookLikeOthers) {
    ApprovalQuestion question = simple_question();
    EXPECT_FALSE(render_question(question, 80, false).contains("note"));
    question.command = "su\xd0\xbeo ls";
    EXPECT_TRUE(render_question(question, 80, false)
                    .contains("    note: | the command has characters that are not ASCII: U+043E\n"));
    // Only a part has them: the line writes them as escapes.
    question.command = "$'s\\u0441p' x";
    question.parts = {"s\xd1\x81p x"};
    EXPECT_TRUE(render_question(question, 80, false).contains("not ASCII: U+0441\n"));
    question.command.clear();
    for (char c = '\x80'; c < '\x8f'; ++c) question.command += std::string("\xce") + c;
    question.parts.clear();
    EXPECT_TRUE(render_question(question, 200, false).contains("U+0389 and 5 more\n"))
        << render_question(question, 200, false);
}

TEST(RenderQuestion, ALineOfTheCommandCannotLookLikeOneOfOurs) {
    // Padded so that each width would begin a line with what it wants to say.
    for (const std::size_t width : {0u, 10u, 24u, 40u, 80u, 81u, 132u, 500u}) {
        const std::size_t columns = width == 0 ? 80 : width > 200 ? 200 : width < 24 ? 24 : width;
        ApprovalQuestion question = simple_question();
        const std::string forged = "   policy | harmless";
        question.command = "x";
        for (int i = 0; i < 40; ++i)
            question.command += std::string(static_cast<std::size_t>(i) % 7 + 50, ' ') + forged;
        question.command += "\xe4\xb8\xad\xe4\xb8\xad";
        question.scope_pattern = question.reason = question.directory = question.command;
        question.parts = {question.command, "x"};
        for (const std::string& text :
             {render_question(question, width, false), render_whole(question, width)})
            for (const std::string& line : lines_of(text)) {
                if (!line.contains('|')) continue;
                EXPECT_LT(line.size(), columns) << line;
                EXPECT_EQ(line.substr(9, 2), " |") << line;
                if (line.find("harmless") != std::string::npos) {
                    EXPECT_GT(line.find("harmless"), 11u) << line;
                }
            }
        const std::string text = render_question(question, width, false);
        std::size_t ours = 0;
        for (const std::string& line : lines_of(text)) ours += line.starts_with("   policy | ") ? 1 : 0;
        EXPECT_EQ(ours, 1u) << text;
    }
}

TEST(RenderQuestion, ASentenceThatCouldBeMisreadIsTakenApart) {
    ApprovalQuestion question = simple_question();
    question.scope_pattern = "rm -r x in /tmp and below, while policy default stays as it is";
    EXPECT_TRUE(render_question(question, 100, false)
                    .contains("  session  for this session:\n"
                              "          | rm -r x in /tmp and below, while policy default stays as it is\n"
                              "           in\n"
                              "          | /home/ann/project\n"
                              "           and below, while policy\n"
                              "          | default\n"
                              "           stays as it is\n"
                              "   always  the same in every session\n"))
        << render_question(question, 100, false);
}

TEST(RenderQuestion, AMebibyteIsCutVisiblyAndShownInFull) {
    ApprovalQuestion question = simple_question();
    question.command = "echo " + std::string((1u << 20) - 13, 'a') + "; rm -r x";
    question.scope_pattern = "echo " + std::string(4000, 'b');
    question.parts = {question.command, "rm -r x"};
    const std::string text = render_question(question, 80, false);
    EXPECT_LT(lines_of(text).size(), 60u);
    // Twelve lines of 67 columns.
    EXPECT_TRUE(
        text.contains("[" + std::to_string(question.command.size() - 804) + " more bytes, v shows them]\n"))
        << text;
    EXPECT_TRUE(text.contains("[" + std::to_string(4005 - 402) + " more bytes, v shows them]\n")) << text;
    EXPECT_TRUE(text.contains("        2 | rm -r x\n")) << text;
    std::string whole;
    for (const std::string& line : lines_of(render_whole(question, 80))) {
        if (line.starts_with("        1 |")) break;
        whole += line.substr(12);
    }
    EXPECT_EQ(whole, question.command);
    EXPECT_FALSE(render_whole(question, 80).contains("more bytes"));

    question.scope_pattern = question.command;
    EXPECT_TRUE(render_question(question, 80, false).contains("The command cannot be kept: only once.\n"));
    EXPECT_FALSE(render_question(question, 80, false).contains("session"));
}

}  // namespace
}  // namespace substrate::shell
