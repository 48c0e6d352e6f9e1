#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "capture/change.hpp"
#include "capture/dir_cursor.hpp"
#include "capture/layer_walk.hpp"

// Copying and cleaning of single objects and of trees, for the snapshot copy and
// for bringing changes to the host.
namespace substrate::capture {

enum class Privileges : std::uint8_t {
    keep,   // a faithful copy
    strip,  // set-user-ID always, set-group-ID of anything but a directory
};

struct CopyRules {
    bool keep_owner = false;  // needs CAP_CHOWN
    Privileges privileges = Privileges::keep;
    bool keep_sockets = false;    // else they are left out
    bool whiteout_files = false;  // the source is fuse-overlayfs's: its marks are left out
    bool unlock_source = false;   // the source is ours: what may not be read is made readable meanwhile
    // Of an overlay: its whiteouts and the attributes that make it one are copied too.
    bool whole_layer = false;
};

// Why an object cannot be transferred; nullptr when it can.
const char* refusal_of(FileType type, bool sockets_too);

// The permission bits an object shall have after a transfer.
mode_t transferred_mode(const struct ::statx& st, Privileges privileges);

// Copies one object that is not a directory to a name that does not exist.
// Mode, mtime and user.* attributes (overlayfs's own apart) are kept. The name
// is removed again after a failure.
Result<> copy_object(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                     const CopyRules& rules);

// What was left out of a copied tree.
using SkipSink = std::function<void(std::string_view path, const char* reason)>;

// Copies everything in `from` (but not its own metadata) into the empty
// directory `to`. Hard links inside the tree stay links. Device nodes, sockets
// (unless kept) and what may not be read are left out and reported. `objects` counts
// what the walk saw.
Result<> copy_tree_contents(int from, int to, const CopyRules& rules, const PathSet* excluded,
                            const SkipSink& skip, std::uint64_t* objects = nullptr);
// The directory `from` of `from_dir` as the new name `to`.
Result<> copy_directory(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                        const CopyRules& rules, const SkipSink& skip);

// Owner (when kept), mode and mtime of an existing object.
Result<> set_metadata(int dir, const char* name, const struct ::statx& st, const CopyRules& rules);
// The user.* attributes but for overlayfs's own; with `whole_layer` those as well.
Result<> copy_user_attributes(int from_dir, const char* from, int to_dir, const char* to,
                              bool whole_layer = false);

// Makes an object of a capture fit to be renamed to the host: drops overlayfs's
// attributes, file capabilities and privileged mode bits.
Result<> clean_object(int dir, const char* name, const struct ::statx& st);
// The same for everything below a directory; device nodes and whiteouts in it are
// removed, the former reported; so are the marks of fuse-overlayfs with `whiteout_files`.
Result<> clean_tree_contents(int dir, const SkipSink& skip, bool whiteout_files = false);

}  // namespace substrate::capture
