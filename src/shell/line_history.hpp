#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace substrate::shell {

// The lines that a person has typed, in a file for the account alone (0600). Secrets that can be recognised
// (trace/redact.hpp) are not in it. One entry is one line of the file: a newline is "\n", a backslash
// doubled.
class LineHistory {
  public:
    explicit LineHistory(std::string path) : path_(std::move(path)) {}
    static constexpr std::size_t kMost = 2000;  // entries that are read

    // Oldest first; cuts the file to these when it has grown to twice as many. Empty where there is none.
    Result<std::vector<std::string>> load() const;
    // Left out are lines that begin with a space, and what was said just before.
    Result<> add(const std::string& line);

  private:
    std::string path_;
    std::string last_;
};

}  // namespace substrate::shell
