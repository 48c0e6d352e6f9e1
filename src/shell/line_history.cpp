#include "shell/line_history.hpp"

#include <fcntl.h>

#include "base/paths.hpp"
#include "sys/append_file.hpp"
#include "sys/file.hpp"
#include "trace/redact.hpp"

namespace substrate::shell {
namespace {

constexpr std::size_t kMostBytes = 16u << 20;

std::string encode(const std::string& line) {
    std::string text;
    for (const char c : line) {
        if (c == '\\') text += "\\\\";
        else if (c == '\n') text += "\\n";
        else text += c;
    }
    return text + '\n';
}

std::string decode(std::string_view text) {
    std::string line;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '\\' && i + 1 < text.size();
        if (escape) ++i;
        line += escape && text[i] == 'n' ? '\n' : text[i];
    }
    return line;
}

}  // namespace

Result<std::vector<std::string>> LineHistory::load() const {
    auto text = sys::read_file(path_, kMostBytes);
    if (!text && text.error().os_errno() == ENOENT) return std::vector<std::string>();
    if (!text) return fail(std::move(text).error().during("reading the history '" + path_ + "'"));
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text->size();) {
        const std::size_t end = std::min(text->find('\n', begin), text->size());
        if (end > begin) lines.push_back(decode(std::string_view(*text).substr(begin, end - begin)));
        begin = end + 1;
    }
    const std::size_t found = lines.size();
    if (found > kMost) lines.erase(lines.begin(), lines.end() - kMost);
    if (found > 2 * kMost) {
        std::string kept;
        for (const std::string& line : lines) kept += encode(line);
        SUB_TRY(sys::replace_file(path_, kept, 0600));
    }
    return lines;
}

Result<> LineHistory::add(const std::string& line) {
    if (line.empty() || line.front() == ' ' || line == last_) return {};
    last_ = line;
    const std::string dir(parent_of(path_));
    SUB_TRY_ASSIGN(const sys::UniqueFd at, sys::open_path(dir, O_RDONLY | O_DIRECTORY));
    SUB_TRY_ASSIGN(const sys::UniqueFd file, sys::open_append_at(at.get(), path_.substr(dir.size() + 1)));
    return sys::append_once(file.get(), encode(trace::redact(line)));
}

}  // namespace substrate::shell
