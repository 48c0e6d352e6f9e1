// Passes from left to right. A detector looks back over a name of bounded length
// or ahead over what it then consumes, so a pass is linear; what was consumed is
// not looked at again, neither by a later detector nor by a second pass (which
// sees kRedacted there). So the second pass, made only where the first found
// something, finds nothing more, but for texts whose quotes interleave.
#include "trace/redact.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "trace/secret_names.hpp"

namespace substrate::trace {
namespace {

constexpr std::size_t kLongestName = 128;
// A text that is not settled after so many is replaced as a whole.
constexpr int kMostPasses = 6;

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_space(char c) { return is_blank(c) || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
bool is_quote(char c) { return c == '"' || c == '\''; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_word(c) || c == '-' || c == '.'; }
bool ends_command(char c) { return c == ';' || c == '|' || c == '&'; }
bool starts_word_after(char c) {
    return is_space(c) || is_quote(c) || ends_command(c) || c == '(' || c == '`';
}

// "$NAME", "${NAME}" or "$1" as a whole: the shell puts the value there, so the
// text holds no secret and a replay needs it.
bool is_reference(std::string_view value) {
    if (!value.starts_with('$') || value.size() < 2) return false;
    value.remove_prefix(1);
    if (value.starts_with('{') && value.ends_with('}')) value = value.substr(1, value.size() - 2);
    return !value.empty() && std::ranges::all_of(value, is_word);
}

std::string_view file_name(std::string_view path) {
    const auto slash = path.find_last_of('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// What of the text a value takes.
struct Extent {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool literal = false;  // in single quotes: no references there
};

class Scanner {
  public:
    explicit Scanner(std::string_view text) : text_(text) {}

    std::string run() {
        while (at_ < text_.size())
            if (!step()) ++at_;
        out_.append(text_.substr(emitted_));
        return std::move(out_);
    }

  private:
    // Examines the character at at_. True when something was consumed and at_ moved.
    bool step() {
        const char c = text_[at_];
        const char before = previous(at_);
        if (is_word(c)) {
            if (is_word(before)) return false;
            if (starts_word_after(before)) note_word();
            return take_token(before);
        }
        switch (c) {
            case '-':
                if (starts_word_after(before) && take_option()) return true;
                return take_private_key();
            case '=': return take_assignment();
            case ':': return take_url() || take_member() || take_header();
            case '\\': return pass_escaped();
            case '"':
            case '\'': toggle(c); return false;
            case ';':
            case '|':
            case '&':
            case '\n': end_command(); return false;
            default:
                if ((c == '/' || c == '.' || c == '~') && starts_word_after(before)) note_word();
                return false;
        }
    }

    // The character before `at` as a second pass would see it.
    char previous(std::size_t at) const {
        if (at == 0) return '\n';
        return at == emitted_ ? kRedacted.back() : text_[at - 1];
    }
    char at_or_space(std::size_t at) const { return at < text_.size() ? text_[at] : ' '; }

    // --- quoting and commands

    void toggle(char quote) {
        if (quote_ == 0) {
            quote_ = quote;
            region_ = ++regions_;
        } else if (quote_ == quote) {
            quote_ = 0;
            region_ = 0;
        }
    }
    bool pass_escaped() {
        const char next = at_or_space(at_ + 1);
        if (quote_ == '\'' || (!is_quote(next) && next != '\\' && next != '\n') || at_ + 1 >= text_.size())
            return false;
        at_ += 2;
        return true;
    }
    // A quoted separator is an argument's; it ends nothing outside its quotes.
    void end_command() {
        const char before = previous(at_);
        const bool redirection = before == '>' || before == '<' || at_or_space(at_ + 1) == '>';
        if (region_ == tool_region_ && !redirection) tool_ = {};
    }
    void note_word() {
        std::size_t end = at_;
        while (end < text_.size() && (is_name(text_[end]) || text_[end] == '/' || text_[end] == '~')) ++end;
        const bool whole = end == text_.size() || starts_word_after(text_[end]) || text_[end] == ')';
        word_end_ = end;
        tool_before_word_ = tool_;
        region_before_word_ = tool_region_;
        apply_word(whole ? file_name(text_.substr(at_, end - at_)) : std::string_view());
    }
    void apply_word(std::string_view name) {
        if (const ToolRule* rule = find_tool(name)) {
            set_tool(rule->tool);
        } else if (has_login(name)) {
            set_tool(name);
        } else if (name == "login" && has_login(tool_)) {
            set_tool("login");
        } else if (tool_ == "sshpass") {
            tool_ = {};  // the program that it runs
        }
    }
    // A word of which a part was consumed names no program, in a second pass too.
    void forget_word() {
        tool_ = tool_before_word_;
        tool_region_ = region_before_word_;
        word_end_ = 0;
        apply_word({});
    }
    void set_tool(std::string_view tool) {
        tool_ = tool;
        tool_region_ = region_;
    }

    // --- the extent of values

    // The index of the quote that closes one opened before `at`, or the end.
    std::size_t closing(char quote, std::size_t at) const {
        for (; at < text_.size() && text_[at] != quote; ++at)
            if (text_[at] == '\\' && quote == '"') ++at;
        return std::min(at, text_.size());
    }
    // The index of the next `\"` (or `\'`), or of the region's end.
    std::size_t closing_escaped(char quote, std::size_t at) const {
        for (; at < text_.size() && text_[at] != quote_; ++at) {
            if (text_[at] != '\\') continue;
            if (at_or_space(at + 1) == quote) return at;
            ++at;
        }
        return std::min(at, text_.size());
    }
    bool ends_bare(std::size_t at) const {
        const char c = text_[at];
        if (is_space(c) || ends_command(c)) return true;
        if (quote_ != 0) return c == quote_ || (c == '\\' && at_or_space(at + 1) == quote_);
        return c == '(' || c == ')' || c == '<' || c == '>' || c == '`';
    }
    // The end of a shell word that starts or goes on at `at`.
    std::size_t bare_end(std::size_t at) const {
        while (at < text_.size() && !ends_bare(at)) {
            if (text_[at] == '\\') at += 2;
            else if (quote_ == 0 && is_quote(text_[at])) at = closing(text_[at], at + 1) + 1;
            else ++at;
        }
        return std::min(at, text_.size());
    }
    // The value that starts at `at`. `opener` stands before its name: where that
    // is the quote of the region we are in, the value fills the region.
    Extent value_at(std::size_t at, char opener) const {
        const char first = at_or_space(at);
        if (first == '\\' && is_quote(at_or_space(at + 1)))
            return {at + 2, closing_escaped(text_[at + 1], at + 2), false};
        if (is_quote(first) && first != quote_) {
            const std::size_t close = closing(first, at + 1);
            const std::size_t after = std::min(close + 1, text_.size());
            if (after == text_.size() || quote_ != 0 || ends_bare(after))
                return {at + 1, close, first == '\''};
        } else if (quote_ != 0 && opener == quote_) {
            return {at, closing(quote_, at), quote_ == '\''};
        } else if (const std::size_t key_end = private_key_end(at)) {
            return {at, bare_end(key_end), true};
        }
        return {at, bare_end(at), false};
    }

    bool consume(const Extent& value) {
        if (value.begin >= value.end) return false;
        const std::string_view secret = text_.substr(value.begin, value.end - value.begin);
        const bool substitution =
            text_.substr(value.begin).starts_with("$(");  // the extent ends at the bracket
        if (!value.literal && (substitution || is_reference(secret))) return false;
        if (value.begin < word_end_) forget_word();
        out_.append(text_.substr(emitted_, value.begin - emitted_));
        out_.append(kRedacted);
        emitted_ = at_ = value.end;
        return true;
    }

    // --- names

    // Where the name that ends before `end` begins.
    std::size_t name_begin(std::size_t end) const {
        const std::size_t least = std::max(emitted_, end > kLongestName ? end - kLongestName : 0);
        std::size_t begin = end;
        while (begin > least && is_name(text_[begin - 1])) --begin;
        return begin;
    }

    bool take_assignment() {
        const std::size_t end = previous(at_) == '+' ? at_ - 1 : at_;
        if (end < emitted_) return false;
        const std::size_t begin = name_begin(end);
        if (begin == end) return false;
        const std::string_view name = text_.substr(begin, end - begin);
        const char opener = previous(begin);
        const bool in_query = opener == '?' || opener == '&';
        if (!is_secret_name(name) && !(in_query && (name == "sig" || name == "key"))) return false;
        return consume(value_at(at_ + 1, opener));
    }

    // "password": "…" with plain or escaped quotes.
    bool take_member() {
        const char quote = previous(at_);
        if (!is_quote(quote) || at_ < emitted_ + 2) return false;
        std::size_t end = at_ - 1;
        const bool escaped = text_[end - 1] == '\\';
        if (escaped) --end;
        const std::size_t begin = name_begin(end);
        if (begin == end || previous(begin) != quote) return false;
        if (!is_secret_name(text_.substr(begin, end - begin))) return false;
        const std::size_t at = skip_blanks(at_ + 1);
        const char first = at_or_space(at);
        if (first == '\\' && is_quote(at_or_space(at + 1)))
            return consume({at + 2, closing_escaped(text_[at + 1], at + 2), true});
        if (is_quote(first) && first != quote_) return consume({at + 1, closing(first, at + 1), true});
        std::size_t stop = at;
        while (is_digit(at_or_space(stop))) ++stop;
        return consume({at, stop, true});
    }

    std::size_t skip_blanks(std::size_t at) const {
        while (at < text_.size()) {
            if (is_blank(text_[at])) ++at;
            else if (text_[at] == '\\' && (is_blank(at_or_space(at + 1)) || at_or_space(at + 1) == '\n'))
                at += 2;
            else break;
        }
        return std::min(at, text_.size());
    }

    bool take_header() {
        const std::size_t begin = name_begin(at_);
        if (begin == at_ || !is_secret_header(text_.substr(begin, at_ - begin))) return false;
        const char opener = previous(begin);
        std::size_t value = skip_blanks(at_ + 1);
        std::size_t word = value;
        while (is_name(at_or_space(word))) ++word;
        const std::string_view scheme = text_.substr(value, word - value);
        bool rest = opener == '\n' || opener == '\r' || (quote_ != 0 && opener == quote_);
        if (is_auth_scheme(scheme) && skip_blanks(word) > word) {
            rest = rest || has_parameters(scheme);
            value = skip_blanks(word);
        }
        if (!rest) return consume(value_at(value, 0));
        std::size_t end = value;
        while (end < text_.size() && text_[end] != '\n' && text_[end] != '\r' &&
               (quote_ == 0 || text_[end] != quote_))
            end += text_[end] == '\\' && quote_ == '"' ? 2 : 1;
        return consume({value, std::min(end, text_.size()), false});
    }

    // scheme://user:secret@host
    bool take_url() {
        if (text_.substr(at_ + 1, 2) != "//" || !is_word(previous(at_))) return false;
        const std::size_t begin = at_ + 3;
        std::size_t end = begin;
        std::size_t colon = std::string_view::npos;
        std::size_t host = std::string_view::npos;
        bool digits = true;  // between the colon and the slash: a port
        for (; end < text_.size() && !ends_url(text_[end]) && text_[end] != '/'; ++end) {
            if (text_[end] == '@') host = end;
            else if (text_[end] == ':' && colon == std::string_view::npos) colon = end;
            else if (colon != std::string_view::npos) digits = digits && is_digit(text_[end]);
        }
        if (colon == std::string_view::npos || at_or_space(begin) == '[') return false;
        // A slash in the password, not encoded as it should be.
        if (host == std::string_view::npos && !digits && end >= no_host_before_) {
            for (; end < text_.size() && !ends_url(text_[end]); ++end)
                if (text_[end] == '@') host = end;
            if (host == std::string_view::npos) no_host_before_ = end;
        }
        if (host == std::string_view::npos || host < colon) return false;
        if (!consume({colon + 1, host, false})) return false;
        // The host is passed over: a detector that took its end away would make a
        // second pass see a longer one.
        while (at_ < text_.size() && !ends_url(text_[at_]) && text_[at_] != '/') ++at_;
        return true;
    }
    static bool ends_url(char c) {
        return is_space(c) || is_quote(c) || c == '<' || c == '>' || c == '\\' || c == '`';
    }

    // --- options

    bool take_option() {
        std::size_t end = at_;
        while (end < text_.size() && end - at_ < kLongestName && is_name(text_[end])) ++end;
        const std::string_view option = text_.substr(at_, end - at_);
        const bool has_rule = option.size() >= 2 && find_rule(tool_, option[1]) != nullptr;
        if (!has_rule && is_secret_name(option)) return take_separate(end, /*after_colon=*/false);
        if (tool_.empty() || option.size() < 2) return false;
        if (tool_ == "curl" && (option == "--user" || option == "--proxy-user"))
            return at_or_space(end) == '=' ? take_after_colon(value_at(end + 1, 0))
                                           : take_separate(end, /*after_colon=*/true);
        if (option.starts_with("--")) return false;
        return take_short(option);
    }

    // "-psecret", "-p secret", "-u user:secret", and "-su user:secret".
    bool take_short(std::string_view option) {
        const ToolRule* rule = find_rule(tool_, option[1]);
        const std::size_t attached = at_ + 2;
        if (rule == nullptr) {
            const ToolRule* last = find_rule(tool_, option.back());
            if (last == nullptr || last->style != SecretStyle::after_colon) return false;
            return take_separate(at_ + option.size(), /*after_colon=*/true);
        }
        const bool is_attached = !is_space(at_or_space(attached)) && at_or_space(attached) != quote_;
        if (rule->style == SecretStyle::after_colon)
            return is_attached ? take_after_colon(value_at(attached, previous(at_)))
                               : take_separate(attached, true);
        if (!is_attached) return rule->style == SecretStyle::either && take_separate(attached, false);
        const bool taken = consume(value_at(attached, previous(at_)));
        if (taken && tool_ == "sshpass") tool_ = {};
        return taken;
    }

    // The word after an option that ends at `end`.
    bool take_separate(std::size_t end, bool after_colon) {
        const bool closes = quote_ != 0 && at_or_space(end) == quote_;
        const std::size_t start = closes ? end + 1 : end;
        const std::size_t value = skip_blanks(start);
        if (value == start || value == text_.size()) return false;
        if (text_[value] == '-' && private_key_end(value) == 0) return false;
        const char region_quote = quote_;
        const unsigned region = region_;
        if (closes) toggle(quote_);
        const Extent extent = value_at(value, 0);
        const bool taken = after_colon ? take_after_colon(extent) : consume(extent);
        if (taken && tool_ == "sshpass") tool_ = {};
        if (!taken) {
            quote_ = region_quote;
            region_ = region;
        }
        return taken;
    }

    bool take_after_colon(const Extent& value) {
        const auto colon = text_.substr(value.begin, value.end - value.begin).find(':');
        if (colon == std::string_view::npos) return false;
        // Taking the end of a quoted piece away would leave its quote open.
        const std::string_view user = text_.substr(value.begin, colon);
        const bool in_piece = std::ranges::any_of(user, is_quote);
        return consume({in_piece ? value.begin : value.begin + colon + 1, value.end, value.literal});
    }

    // --- tokens

    bool take_token(char before) {
        const std::size_t length = token_length(text_.substr(at_), /*fresh=*/before != '-');
        return length > 0 && consume({at_, at_ + length, true});
    }

    // The end of the private key in PEM (RFC 7468) that starts at `at`, 0 if none does.
    std::size_t private_key_end(std::size_t at) const {
        constexpr std::size_t kLongestLabel = 48;
        constexpr std::string_view kBegin = "-----BEGIN ";
        constexpr std::string_view kEnd = "-----END ";
        if (!text_.substr(at).starts_with(kBegin)) return 0;
        std::string_view label = text_.substr(at + kBegin.size(), kLongestLabel);
        label = label.substr(0, label.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 "));
        if (!label.contains("PRIVATE KEY")) return 0;
        std::size_t end = text_.find(kEnd, at);
        if (end == std::string_view::npos) return text_.size();
        end += kEnd.size();
        const auto dashes = text_.substr(end, kLongestLabel).find("-----");
        return dashes == std::string_view::npos ? end : end + dashes + 5;
    }
    bool take_private_key() { return consume({at_, private_key_end(at_), true}); }

    std::string_view text_;
    std::string out_;
    std::size_t at_ = 0;
    std::size_t emitted_ = 0;  // all before it is in out_, the last of it as kRedacted if at_ == emitted_
    char quote_ = 0;           // the shell quote that at_ is inside of, or 0
    unsigned region_ = 0;      // numbers the quoted stretches; 0 outside
    unsigned regions_ = 0;
    std::string_view tool_;  // the last program named in this command that has rules
    unsigned tool_region_ = 0;
    std::size_t word_end_ = 0;  // of the last word looked at, and what was known before it
    std::string_view tool_before_word_;
    unsigned region_before_word_ = 0;
    std::size_t no_host_before_ = 0;  // no '@' ends a URL's credentials before it
};

// One argument vector, left to right.
class ArgumentScanner {
  public:
    std::string next(const std::string& argument) {
        const Pending pending = std::exchange(pending_, Pending::none);
        if (pending == Pending::whole && !argument.empty() && !argument.starts_with('-'))
            return std::string(kRedacted);
        if (pending == Pending::after_colon) return hide_after_colon(argument, 0);
        if (argument.starts_with('-')) return option(argument);
        if (auto assigned = assignment(argument)) return *std::move(assigned);
        note(argument);
        return redact(argument);
    }

  private:
    enum class Pending : unsigned char { none, whole, after_colon };

    static std::string hide_from(const std::string& argument, std::size_t at) {
        return at >= argument.size() ? argument : argument.substr(0, at) + std::string(kRedacted);
    }
    static std::string hide_after_colon(const std::string& argument, std::size_t from) {
        const auto colon = argument.find(':', from);
        return colon == std::string::npos ? redact(argument) : hide_from(argument, colon + 1);
    }
    static std::optional<std::string> assignment(const std::string& argument) {
        const auto equals = argument.find('=');
        if (equals == std::string::npos || !std::ranges::all_of(argument.substr(0, equals), is_name))
            return std::nullopt;
        if (!is_secret_name(std::string_view(argument).substr(0, equals))) return std::nullopt;
        return hide_from(argument, equals + 1);
    }

    std::string option(const std::string& argument) {
        if (auto assigned = assignment(argument)) return *std::move(assigned);
        const bool has_rule = argument.size() >= 2 && find_rule(tool_, argument[1]) != nullptr;
        if (!has_rule && is_secret_name(argument) && std::ranges::all_of(argument, is_name)) {
            pending_ = Pending::whole;
            return redact(argument);
        }
        if (tool_ == "curl" && (argument == "--user" || argument == "--proxy-user"))
            pending_ = Pending::after_colon;
        if (tool_ == "curl" && (argument.starts_with("--user=") || argument.starts_with("--proxy-user=")))
            return hide_after_colon(argument, 0);
        if (tool_.empty() || argument.size() < 2 || argument[1] == '-') return redact(argument);
        return short_option(argument);
    }

    std::string short_option(const std::string& argument) {
        const ToolRule* rule = find_rule(tool_, argument[1]);
        if (rule == nullptr) {
            const ToolRule* last = find_rule(tool_, argument.back());
            if (last != nullptr && last->style == SecretStyle::after_colon) pending_ = Pending::after_colon;
            return redact(argument);
        }
        if (rule->style == SecretStyle::after_colon) {
            if (argument.size() > 2) return hide_after_colon(argument, 2);
            pending_ = Pending::after_colon;
            return argument;
        }
        if (tool_ == "sshpass") tool_ = {};
        if (argument.size() > 2) return hide_from(argument, 2);
        if (rule->style == SecretStyle::either) pending_ = Pending::whole;
        return argument;
    }

    void note(const std::string& argument) {
        const std::string_view name = file_name(argument);
        if (const ToolRule* rule = find_tool(name)) tool_ = rule->tool;
        else if (has_login(name)) tool_ = name;
        else if (name == "login" && has_login(tool_)) tool_ = "login";
        else if (tool_ == "sshpass") tool_ = {};
    }

    std::string_view tool_;  // views into the arguments, which outlive the scanner
    Pending pending_ = Pending::none;
};

std::vector<std::string> redact_arguments_once(const std::vector<std::string>& argv) {
    ArgumentScanner scanner;
    std::vector<std::string> result;
    result.reserve(argv.size());
    for (const std::string& argument : argv) result.push_back(scanner.next(argument));
    return result;
}

}  // namespace

std::string redact(std::string_view text) {
    std::string result = Scanner(text).run();
    if (result == text) return result;
    for (int pass = 0; pass < kMostPasses; ++pass) {
        std::string again = Scanner(result).run();
        if (again == result) return result;
        result = std::move(again);
    }
    return std::string(kRedacted);
}

std::vector<std::string> redact_argv(const std::vector<std::string>& argv) {
    std::vector<std::string> result = redact_arguments_once(argv);
    for (int pass = 0; result != argv && pass < kMostPasses; ++pass) {
        std::vector<std::string> again = redact_arguments_once(result);
        if (again == result) return result;
        result = std::move(again);
    }
    return result == argv ? result : std::vector<std::string>(argv.size(), std::string(kRedacted));
}

std::string redact_variable(std::string_view name, std::string_view value) {
    if (is_secret_name(name)) return value.empty() ? std::string() : std::string(kRedacted);
    return redact(value);
}

}  // namespace substrate::trace
