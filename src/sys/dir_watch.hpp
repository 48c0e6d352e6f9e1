#pragma once

#include <string>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// Wakes when files in one directory are written, created or renamed (inotify(7)).
class DirWatch final {
  public:
    static Result<DirWatch> open(const std::string& path);

    enum class Wake { changed, stopped };
    // Waits for a change or until `stop_fd` is readable (or hung up); -1 is no
    // stop descriptor. Changes since the previous call count.
    Result<Wake> wait(int stop_fd);

  private:
    explicit DirWatch(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

}  // namespace substrate::sys
