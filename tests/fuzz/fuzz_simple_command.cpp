// A line that is executed without a shell holds nothing that a shell would read
// otherwise, and its words are the line's.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "plan/command.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate::plan;
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    const auto words = simple_command(line);
    if (!words) return 0;
    if (words->empty()) std::abort();
    std::string joined;
    for (const std::string& word : *words) {
        if (word.empty()) std::abort();
        joined += (joined.empty() ? "" : " ") + word;
    }
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:,@%= ";
    if (joined.find_first_not_of(kPlain) != std::string::npos) std::abort();
    // Nothing but spaces was left out.
    std::string letters, of_line;
    for (const char c : joined)
        if (c != ' ') letters += c;
    for (const char c : line)
        if (c != ' ') of_line += c;
    if (letters != of_line) std::abort();
    // The first word is neither an assignment nor a job, and reading it again changes nothing.
    if (words->front().contains('=') || words->front().front() == '%') std::abort();
    const auto again = simple_command(joined);
    if (!again || *again != *words) std::abort();
    for (const char* shells :
         {"cd", "echo", "exec", "eval", ".", ":", "if", "time", "wait", "until", "{", "!"})
        if (words->front() == shells) std::abort();
    return 0;
}
