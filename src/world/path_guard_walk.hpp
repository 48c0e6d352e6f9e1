#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "sys/unique_fd.hpp"

// Finding what a caller's path leads to, from beside the caller. Errors are errno values, 0 for none:
// they go back to the caller as they are.
namespace substrate::world {

// What a path has led to. All descriptors are O_PATH.
struct Place {
    sys::UniqueFd object;  // none: there is no such name in `parent`
    std::string name;      // its real path, or where it would be
    sys::UniqueFd parent;  // none: the object has no name to act on (a link of /proc led to it)
    std::string last;      // in `parent`; "." or ".." as it was given, "/" behind it likewise
};

// Paths as the thread `caller` means them: /proc/self is its process, and nothing of our own process can be
// reached. Root and mounts are the caller's, since a guarded process can change neither.
class PathWalk {
  public:
    explicit PathWalk(pid_t caller) : caller_(caller) {}

    // What relative paths begin at: an O_PATH descriptor of the directory `dirfd` of the caller, or of
    // its working directory for AT_FDCWD. With `any` it need not be a directory.
    int base(int dirfd, bool any, sys::UniqueFd& fd) const;
    // The object that exists there. `follow`: also where the last component is a link.
    int find(int base, const std::string& path, bool follow, Place& place) const;
    // The same below RESOLVE_* restrictions of openat2(2), which the kernel holds. Links of
    // /proc are never followed.
    static int find_restricted(int base, const std::string& path, bool follow, std::uint64_t resolve,
                               Place& place);
    // The name `path` in its directory, whether or not it exists and what it is; sets no object.
    int locate(int base, const std::string& path, Place& place) const;
    // The whole way by hand: parent and name, and the object if there is one. Only the last
    // component may be missing.
    int walk(int base, const std::string& path, bool follow, Place& place) const;

    // What the caller reads in the link "self" or "thread-self" of /proc.
    std::string self_text(std::string_view component) const;

  private:
    struct Step;
    int follow_link(Step& step, const std::string& component, bool& magic) const;

    pid_t caller_;
};

// What the kernel calls the thing that `fd` is open on; "" when it cannot say.
std::string name_of(int fd);
// The path by which our own descriptor can be opened again.
std::string own_path(int fd);
// The process of a thread; 0 when it has gone.
pid_t process_of(pid_t thread);

}  // namespace substrate::world
