#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::capture {

// Opens directories below a root, one component at a time and never through a
// link. Keeps the descriptors of the path it stands on, at most kOpen of them,
// so that visiting a tree in order costs one open per directory and a tree may
// be deeper than PATH_MAX or the descriptor limit.
class DirCursor {
  public:
    enum class Unreadable {
        locate,  // a directory that may not be read is opened as a location (O_PATH)
        unlock,  // it is ours: made readable while the cursor is in it
    };

    // `root` stays the caller's.
    explicit DirCursor(int root, Unreadable unreadable = Unreadable::locate)
        : root_(root), unreadable_(unreadable) {}

    // The directory `path` ("" is the root); valid until the next call. ENOENT,
    // ENOTDIR and ELOOP say what stands in the way.
    Result<int> at(std::string_view path);
    // Drops all descriptors: after a directory on the way was moved.
    void forget();

  private:
    // A directory that is open; locks it again if it had to be unlocked.
    class OpenDir {
      public:
        OpenDir() = default;
        OpenDir(sys::UniqueFd fd, int locked_mode) : fd_(std::move(fd)), locked_mode_(locked_mode) {}
        OpenDir(OpenDir&&) noexcept = default;
        OpenDir& operator=(OpenDir&& other) noexcept;
        ~OpenDir() { close(); }
        void close();
        int get() const { return fd_.get(); }

      private:
        sys::UniqueFd fd_;
        int locked_mode_ = -1;  // -1: was readable
    };
    struct Level {
        std::size_t end;  // of this component in path_
        OpenDir dir;
    };
    static constexpr std::size_t kOpen = 32;

    Result<> open_level(std::size_t index);
    Result<OpenDir> open_component(int parent, const char* name) const;

    int root_;
    Unreadable unreadable_;
    std::string path_;
    std::vector<Level> levels_;
};

}  // namespace substrate::capture
