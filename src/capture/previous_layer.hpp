#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "capture/change.hpp"
#include "capture/dir_cursor.hpp"
#include "capture/transfer.hpp"

namespace substrate::capture {

// renameat2(2) with RENAME_NOREPLACE; a directory that its owner may not write
// is made writable for the moment, since moving it rewrites its "..".
Result<> move_object(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to);
// Moves, or where that is impossible copies and removes.
Result<> move_or_copy(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                      const CopyRules& rules);

// The overlay layer that holds what an apply replaces on the host.
class PreviousLayer {
  public:
    // How the previous content was kept, and so whether the host still has it.
    enum class Kept { nothing, whiteout, linked, copied, moved };

    PreviousLayer(int project, int layer, bool keep_owner);

    // The host has nothing at `path`. `nothing` where the layer's file system takes no
    // whiteouts; complete() is false from then on.
    Result<Kept> keep_absence(std::string_view path);
    bool complete() const { return complete_; }
    // Keeps a file that is going to be replaced: a link to it where it has no
    // other, else a copy. It stays in place.
    Result<Kept> keep_file(std::string_view path, int host_dir, const char* name, const struct ::statx& st);
    // Keeps what is going to be removed: moved away, or copied and still in place.
    Result<Kept> take_away(std::string_view path, int host_dir, const char* name, const struct ::statx& st);
    // Keeps the metadata of the directory `path` itself.
    Result<> keep_directory(std::string_view path);
    // The layer's directory `path`, which was kept or holds something kept.
    Result<int> directory(std::string_view path) { return layer_cursor_.at(path); }

    // Gives the layer's directories the metadata the host's had.
    Result<> finish();
    // Takes back what keep_directory and the like made, once it is empty; gives the
    // host's directories their times again.
    void abandon();

  private:
    struct Directory {
        std::string path;
        struct ::statx st;  // of the host's before it was touched
    };

    Result<int> parent_of(std::string_view path);

    CopyRules rules_;
    DirCursor host_cursor_;
    DirCursor layer_cursor_;
    std::vector<Directory> directories_;
    std::unordered_set<std::string> made_;
    bool complete_ = true;
};

}  // namespace substrate::capture
