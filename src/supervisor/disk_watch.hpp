#pragma once

#include <cstdint>
#include <string>

#include "sys/file.hpp"

namespace substrate::supervisor {

// Whether a command is filling the file system that its changes are captured on. That is the
// host's own disk: what a command may take of it ends before the last of it is gone, so that its
// span and whoever else needs the disk have some left.
class DiskWatch {
  public:
    // `dir`: open for as long as this is used.
    explicit DiskWatch(int dir);

    // What is nearly used up, as a clause for a person; empty: nothing is. Where little was left when
    // the command started, nothing is to be held back from it any more.
    std::string exhausted() const;

    // How much is held back of a disk or of its files.
    static std::uint64_t reserve_of(std::uint64_t total, std::uint64_t most);

  private:
    int dir_;
    std::uint64_t bytes_reserve_ = 0, files_reserve_ = 0;  // 0: not watched
};

}  // namespace substrate::supervisor
