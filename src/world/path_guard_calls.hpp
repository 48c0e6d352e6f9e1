#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sys/seccomp_notify.hpp"
#include "sys/unique_fd.hpp"
#include "world/path_guard.hpp"
#include "world/path_guard_caller.hpp"
#include "world/path_guard_walk.hpp"

namespace substrate::world {

// Makes the path calls of guarded processes in their stead, or refuses them with EACCES. What was judged
// is what is acted on: the object itself by its descriptor, or a name in the descriptor of its directory.
class CallAnswerer {
  public:
    // `first_programs`: where in our memory, a copy of the first caller's, the names lie of what it
    // executes first; it cannot be read itself until then. To be made in its working directory.
    CallAnswerer(const PathGuard& guard, const sys::CallListener& listener,
                 std::array<const char*, 2> first_programs);

    void answer(const sys::CallNotice& notice);
    // Processes that wait in our stead for something to be opened.
    bool has_workers() const { return !workers_.empty(); }
    // Ends those whose caller does not wait any more.
    void look_after_workers();

  private:
    struct Call {
        const sys::CallNotice& notice;
        CallerMemory memory;
        PathWalk walk;
    };
    struct Answer {
        int error = 0;
        std::int64_t value = 0;
        enum class How : std::uint8_t { value, pass, by_itself } how = How::value;
    };
    // A path that a call names, read once.
    struct Named {
        std::string path;
        sys::UniqueFd base;  // none for an absolute path
    };
    struct OpenRequest {
        int directory;
        std::uint64_t path;
        std::uint64_t flags;
        std::uint64_t mode = 0;
        std::uint64_t resolve = 0;
    };

    Answer perform(const Call& call);
    Answer perform_more(const Call& call);
    int read_named(const Call& call, int directory, std::uint64_t address, Named& named) const;
    // The object that the call names, judged. `flags`: AT_EMPTY_PATH; AT_SYMLINK_NOFOLLOW.
    int judged_object(const Call& call, int directory, std::uint64_t address, int flags, PathUse use,
                      Place& place) const;
    // The name in its directory, judged.
    int judged_entry(const Call& call, int directory, std::uint64_t address, PathUse use, Place& place) const;
    int judge(const Call& call, const std::string& name, PathUse use) const;
    bool is_denied(const std::string& name, PathUse use) const { return guard_.denies(name, use); }

    // path_guard_open.cpp
    Answer open_file(const Call& call, const OpenRequest& request);
    Answer open2(const Call& call);
    Answer open_found(const Call& call, const OpenRequest& request, const Place& place);
    Answer create(const Call& call, const OpenRequest& request, const Named& named);
    Answer reopen(const Call& call, std::uint64_t flags, std::uint64_t mode, const Place& place);
    Answer open_beside(const Call& call, std::uint64_t flags, const Place& place);
    // `judged`: the name that was.
    Answer give(const Call& call, std::uint64_t asked, std::uint64_t used, const std::string& judged,
                sys::UniqueFd fd) const;

    // path_guard_calls.cpp
    Answer make_entry(const Call& call, int directory, std::uint64_t path, mode_t mode, dev_t device) const;
    Answer make_link(const Call& call, std::uint64_t target, int directory, std::uint64_t path) const;
    Answer remove_entry(const Call& call, int directory, std::uint64_t path, int flags) const;
    Answer rename_entry(const Call& call, int from_directory, std::uint64_t from, int to_directory,
                        std::uint64_t to, unsigned flags) const;
    Answer link_entry(const Call& call, int from_directory, std::uint64_t from, int to_directory,
                      std::uint64_t to, int flags) const;
    Answer read_link(const Call& call, int directory, std::uint64_t path, std::uint64_t buffer,
                     std::uint64_t size) const;
    Answer execute(const Call& call, int directory, std::uint64_t path, int flags);
    Answer bind_socket(const Call& call) const;

    // path_guard_attributes.cpp
    Answer change_mode(const Call& call, int directory, std::uint64_t path, mode_t mode, int flags) const;
    Answer change_owner(const Call& call, int directory, std::uint64_t path, std::uint64_t uid,
                        std::uint64_t gid, int flags) const;
    enum class TimeFormat : std::uint8_t { seconds, micros, nanos };
    Answer change_times(const Call& call, int directory, std::uint64_t path, std::uint64_t times,
                        TimeFormat format, int flags) const;
    Answer cut(const Call& call) const;
    Answer set_attribute(const Call& call, bool follow) const;
    Answer remove_attribute(const Call& call, bool follow) const;
    Answer get_attribute(const Call& call, bool follow) const;
    Answer list_attributes(const Call& call, bool follow) const;
    int attribute_object(const Call& call, bool follow, PathUse use, Place& place, bool& is_link) const;
    Answer change_descriptor(const Call& call) const;

    struct Worker {
        pid_t pid;
        std::uint64_t id;
    };
    const PathGuard& guard_;
    const sys::CallListener& listener_;
    std::array<const char*, 2> first_programs_;
    sys::UniqueFd first_directory_;  // until the first program runs
    std::vector<Worker> workers_;
};

}  // namespace substrate::world
