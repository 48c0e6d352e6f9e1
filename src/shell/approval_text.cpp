#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "shell/approval_prompt.hpp"

// What the question says.
namespace substrate::shell {
namespace {

constexpr std::size_t kUnknownWidth = 80, kLeastWidth = 24, kMostWidth = 200;
constexpr std::size_t kLabel = 10;           // columns of the label before "| "
constexpr std::size_t kGutter = kLabel + 2;  // and with it
constexpr std::size_t kShownParts = 20, kShownImpact = 20, kShownCharacters = 10;
constexpr std::size_t kAll = static_cast<std::size_t>(-1);

// Bytes of the character at the start of `text`, which is not empty; 1 where there is none.
std::size_t unit_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return length <= text.size() && is_utf8(text.substr(0, length)) ? length : 1;
}

std::uint32_t code_point(std::string_view unit) {
    std::uint32_t code = static_cast<unsigned char>(unit.front());
    if (unit.size() > 1) code &= 0xffu >> (unit.size() + 1);
    for (const char c : unit.substr(1)) code = (code << 6) | (static_cast<unsigned char>(c) & 0x3fu);
    return code;
}

struct Wrapped {
    std::vector<std::string> lines;
    std::size_t left_out = 0;  // bytes
};

// printable(text) in lines of at most `columns`. A character that is not ASCII counts two: more
// than it may take, so that a line never reaches the terminal's edge.
Wrapped wrap(std::string_view text, std::size_t columns, std::size_t most_lines) {
    Wrapped out;
    const bool escapes = printable(text) != text;
    std::size_t used = columns;
    const auto add = [&](std::string_view shown, std::size_t taken) {
        if (used + taken > columns) {
            if (out.lines.size() == most_lines) return false;
            out.lines.emplace_back();
            used = 0;
        }
        out.lines.back() += shown;
        used += taken;
        return true;
    };
    while (!text.empty()) {
        const char c = text.front();
        if (c >= 0x20 && c < 0x7f && (c != '\\' || !escapes)) {
            if (!add(text.substr(0, 1), 1)) break;
            text.remove_prefix(1);
            continue;
        }
        const std::string_view unit = text.substr(0, unit_length(text));
        const std::string shown = c == '\\' ? "\\\\" : printable(unit);
        const bool ascii = std::ranges::all_of(shown, [](char s) { return s > 0; });
        if (!add(shown, ascii ? shown.size() : 2)) break;
        text.remove_prefix(unit.size());
    }
    out.left_out = text.size();
    return out;
}

class Page {
  public:
    Page(std::size_t width, bool colour)
        : columns_(std::clamp(width == 0 ? kUnknownWidth : width, kLeastWidth, kMostWidth) - 1),
          colour_(colour) {}

    void title(std::string_view text) {
        out_ += colour_ ? fmt::format("\x1b[1m{}\x1b[0m\n", text) : fmt::format("{}\n", text);
    }
    // Our own words only; short enough for every width.
    void line(std::string_view label, std::string_view text) {
        out_ += fmt::format("{:>{}}  {}\n", label, kLabel - 1, text);
    }
    // What comes from outside.
    void block(std::string_view label, std::string_view text, std::size_t most_lines) {
        const Wrapped wrapped = wrap(text, columns_ - kGutter, most_lines);
        for (const std::string& one : wrapped.lines) {
            out_ += fmt::format("{:>{}} | {}\n", label, kLabel - 1, one);
            label = {};
        }
        if (wrapped.lines.empty()) out_ += fmt::format("{:>{}} |\n", label, kLabel - 1);
        if (wrapped.left_out > 0) line("", fmt::format("[{} more bytes, v shows them]", wrapped.left_out));
    }
    std::size_t columns() const { return columns_ - kGutter; }
    std::string take() { return std::move(out_); }

  private:
    std::size_t columns_;  // one less than the terminal has: it never wraps
    bool colour_;
    std::string out_;
};

void note_characters(Page& page, const ApprovalQuestion& question) {
    std::set<std::uint32_t> characters;
    std::size_t bytes = 0;
    const auto look = [&](std::string_view text) {
        while (!text.empty()) {
            const std::string_view unit = text.substr(0, unit_length(text));
            if (unit.size() > 1) characters.insert(code_point(unit));
            else if (static_cast<unsigned char>(unit.front()) >= 0x80) ++bytes;
            text.remove_prefix(unit.size());
        }
    };
    // A quoted escape in the line may become such a character in a part.
    look(question.command);
    for (const std::string& part : question.parts) look(part);
    look(question.scope_pattern);
    if (!characters.empty()) {
        std::string list;
        std::size_t listed = 0;
        for (const std::uint32_t code : characters) {
            if (listed++ == kShownCharacters) break;
            list += fmt::format(" U+{:04X}", code);
        }
        if (characters.size() > kShownCharacters)
            list += fmt::format(" and {} more", characters.size() - kShownCharacters);
        page.block("note:", "the command has characters that are not ASCII:" + list, kAll);
    }
    if (bytes > 0) page.block("note:", "the command has bytes that are no characters (\\xNN)", kAll);
}

void list(Page& page, std::string_view label, const std::vector<std::string>& texts, std::size_t most) {
    for (const std::string& text : texts) {
        if (most-- == 0) break;
        page.block(label, text, 2);
        label = {};
    }
}

void parts(Page& page, const ApprovalQuestion& question) {
    const std::size_t found = question.parts.size() + question.more_parts;
    if (found == 0 || (found == 1 && question.parts.size() == 1 && question.parts[0] == question.command))
        return;
    page.line("", fmt::format("would run {} command{}:", found, found == 1 ? "" : "s"));
    const std::size_t shown = std::min(question.parts.size(), kShownParts);
    for (std::size_t i = 0; i < shown; ++i) page.block(fmt::format("{}", i + 1), question.parts[i], 2);
    if (found > shown) page.line("", fmt::format("and {} more", found - shown));
}

void impact(Page& page, const ApprovalQuestion& question) {
    if (question.impact.empty()) return;
    page.line("", "a trial run says:");
    list(page, "impact", question.impact, kShownImpact);
    if (question.impact.size() > kShownImpact)
        page.line("", fmt::format("and {} more", question.impact.size() - kShownImpact));
}

std::string rule_text(const ApprovalQuestion& question) {
    if (question.pattern.empty()) return question.rule;
    return question.rule + (question.rule.empty() ? "\"" : " \"") + question.pattern + "\"";
}

// What "session" and "always" would cover. In one sentence where nothing in it could be
// taken for another part of it.
void coverage(Page& page, const ApprovalQuestion& question, std::size_t most_lines) {
    if (!question.can_be_kept()) {
        page.line("", "The command cannot be kept: only once.");
        return;
    }
    const std::string sentence =
        fmt::format("for this session: {} in {} and below, while policy {} stays as it is",
                    question.scope_pattern, question.directory, question.policy_id);
    const bool plain = !question.scope_pattern.contains(" in ") && !question.scope_pattern.contains("  ") &&
                       !question.directory.contains(' ') && !question.policy_id.contains(' ');
    if (plain && wrap(sentence, page.columns(), 4).left_out == 0) {
        page.block("session", sentence, 4);
    } else {
        page.line("session", "for this session:");
        page.block("", question.scope_pattern, most_lines);
        page.line("", "in");
        page.block("", question.directory, most_lines);
        page.line("", "and below, while policy");
        page.block("", question.policy_id, most_lines);
        page.line("", "stays as it is");
    }
    page.line("always", "the same in every session");
}

}  // namespace

std::string render_question(const ApprovalQuestion& question, std::size_t width, bool colour) {
    Page page(width, colour);
    page.title("substrate: may this command run?");
    page.block("command", question.command, 12);
    note_characters(page, question);
    parts(page, question);
    page.block("in", question.directory, 4);
    if (!question.reason.empty()) page.block("reason", question.reason, 4);
    if (const std::string rule = rule_text(question); !rule.empty()) page.block("rule", rule, 3);
    page.block("policy", question.policy_id, 2);
    impact(page, question);
    coverage(page, question, 6);
    return page.take();
}

std::string render_whole(const ApprovalQuestion& question, std::size_t width) {
    Page page(width, /*colour=*/false);
    page.block("command", question.command, kAll);
    for (std::size_t i = 0; i < question.parts.size(); ++i)
        page.block(fmt::format("{}", i + 1), question.parts[i], kAll);
    if (question.more_parts > 0) page.line("", fmt::format("and {} more", question.more_parts));
    if (!question.reason.empty()) page.block("reason", question.reason, kAll);
    if (const std::string rule = rule_text(question); !rule.empty()) page.block("rule", rule, kAll);
    for (const std::string& line : question.impact) page.block("impact", line, kAll);
    coverage(page, question, kAll);
    return page.take();
}

}  // namespace substrate::shell
