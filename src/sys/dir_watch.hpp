#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// Wakes when files in some directories are written, created, renamed or removed (inotify(7)).
class DirWatch final {
  public:
    // Directories that do not exist are left out; an error when none is left.
    static Result<DirWatch> open(const std::vector<std::string>& paths);

    enum class Wake { changed, stopped };
    // Waits for a change or until `stop_fd` is readable (or hung up); -1 is no
    // stop descriptor. Changes since the previous call count.
    Result<Wake> wait(int stop_fd);

  private:
    explicit DirWatch(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

}  // namespace substrate::sys
