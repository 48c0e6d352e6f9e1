#include "policy/shell_check.hpp"

#include <tree_sitter/api.h>

#include <algorithm>
#include <memory>
#include <optional>

extern "C" const TSLanguage* tree_sitter_bash(void);

namespace substrate::policy {
namespace {

// Error recovery of a GLR parser may take long on nonsense, which is then refused.
constexpr std::uint64_t kParseMicroseconds = 3'000'000;

struct Symbols {
    TSSymbol command_name, declaration, unset, test, here_body, substitution, backquote;
};

Symbols find_symbols(const TSLanguage* language) {
    const auto find = [language](std::string_view name, bool named) {
        return ts_language_symbol_for_name(language, name.data(), static_cast<std::uint32_t>(name.size()),
                                           named);
    };
    return {.command_name = find("command_name", true),
            .declaration = find("declaration_command", true),
            .unset = find("unset_command", true),
            .test = find("test_command", true),
            .here_body = find("heredoc_body", true),
            .substitution = find("command_substitution", true),
            .backquote = find("`", false)};
}

class Walk {
  public:
    Walk(const TSTree* tree, const Symbols& symbols)
        : symbols_(symbols), cursor_(ts_tree_cursor_new(ts_tree_root_node(tree))) {}
    ~Walk() { ts_tree_cursor_delete(&cursor_); }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

    // Visits nodes in order without recursion.
    bool starts_within(const std::vector<std::uint32_t>& starts) {
        while (true) {
            const TSNode node = ts_tree_cursor_current_node(&cursor_);
            const TSSymbol symbol = ts_node_symbol(node);
            const bool begins = symbol == symbols_.command_name || symbol == symbols_.declaration ||
                                symbol == symbols_.unset || symbol == symbols_.test;
            if (begins && !std::ranges::binary_search(starts, ts_node_start_byte(node))) return false;
            if (!apart(node, symbol) && ts_tree_cursor_goto_first_child(&cursor_)) continue;
            while (!ts_tree_cursor_goto_next_sibling(&cursor_))
                if (!ts_tree_cursor_goto_parent(&cursor_)) return true;
        }
    }

  private:
    bool apart(TSNode node, TSSymbol symbol) const {
        if (symbol == symbols_.here_body) return true;
        return symbol == symbols_.substitution && ts_node_child_count(node) > 0 &&
               ts_node_symbol(ts_node_child(node, 0)) == symbols_.backquote;
    }
    const Symbols& symbols_;
    TSTreeCursor cursor_;
};

}  // namespace

bool is_simple(std::string_view text) {
    char before = ' ';
    return std::ranges::all_of(text, [&before](char c) {
        const bool quoting_dollar = before == '$' && (c == '\'' || c == '"');
        before = c;
        return !quoting_dollar &&
               ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                std::string_view("_-+./:,@%= '\";&|<>$*?~").contains(c));
    });
}

std::string_view check_by_grammar(std::string_view text, const std::vector<std::uint32_t>& starts) {
    const std::unique_ptr<TSParser, decltype(&ts_parser_delete)> parser(ts_parser_new(), ts_parser_delete);
    if (!parser || !ts_parser_set_language(parser.get(), tree_sitter_bash()))
        return "the grammar cannot be used";
    ts_parser_set_timeout_micros(parser.get(), kParseMicroseconds);
    const std::unique_ptr<TSTree, decltype(&ts_tree_delete)> tree(
        ts_parser_parse_string(parser.get(), nullptr, text.data(), static_cast<std::uint32_t>(text.size())),
        ts_tree_delete);
    if (!tree) return kTooSlow;
    if (ts_node_has_error(ts_tree_root_node(tree.get()))) return "the grammar finds a syntax error in it";
    std::vector<std::uint32_t> sorted = starts;
    std::ranges::sort(sorted);
    // The grammar's own numbers: they are looked up by comparing names, which costs a third of a parse.
    static const Symbols symbols = find_symbols(tree_sitter_bash());
    if (!Walk(tree.get(), symbols).starts_within(sorted))
        return "two readings of it differ about its commands";
    return {};
}

}  // namespace substrate::policy
