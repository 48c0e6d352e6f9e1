#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "model/span.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::supervisor {

// What became of a span's captured changes.
enum class KeptState : std::uint8_t {
    pending,      // waits for `substrate apply`
    applying,     // being brought to the host; a crash is completed at the next start
    applied,      // on the host; `before` holds what was there
    conflict,     // the host had changed: nothing was written
    interrupted,  // its world ended unexpectedly; shown to nobody until applied
};
const char* to_string(KeptState state);

// The record of one span's changes: spans/<id>/manifest.json of a store.
struct Manifest {
    std::string span_id;
    std::string project;
    std::string world_id;
    KeptState state = KeptState::pending;
    CaptureStrategy strategy = CaptureStrategy::overlay;
    bool user_xattrs = true;
    std::int64_t captured_ns = 0;  // file time when the capture was mounted
    std::int64_t settled_ns = 0;   // when it reached this state
    // When the host had become what before, before.1, … lead back from: of a change that
    // was applied in parts, each. Missing at the end: settled_ns.
    std::vector<std::int64_t> before_ns;
    std::string dir;                    // relative to the store: holds the capture's `upper` or `tree`
    std::vector<std::string> excluded;  // copy-diff: not part of the comparison
    std::string branch;                 // whose line of changes it is in; empty: the project's own
    std::int64_t base_ns = 0;           // of that branch, when it was captured
    std::string copied_from;            // the span whose capture this is a copy of; empty: it is none
};

// The capture store of one project: worlds/<id>/ for live worlds, spare/ for the next
// one, spans/<id>/ for kept changes (`upper` or `tree`, `before`, the manifest), trash/ for
// what is to be deleted. One agent uses it at a time.
class Store {
  public:
    // Picks the first of `roots` that is ours and does not lie in the project, preferring
    // the project's own file system to others and any to a tmpfs (which overlay cannot
    // use, and which forgets), and creates the store.
    static Result<Store> open(const std::vector<std::string>& roots, const std::string& project);
    // A store that exists at `path`.
    static Result<Store> open_existing(const std::string& path);

    const std::string& path() const { return path_; }
    const std::string& project() const { return project_; }
    int fd() const { return fd_.get(); }

    struct MadeWorld {
        sys::UniqueFd lock;
        std::string slot;  // an unused overlay slot that it has already, relative to the store
    };
    // worlds/<id>, locked as long as the descriptor lives: the spare one if `reuse` and
    // there is one. Safe beside lock_dead_worlds.
    Result<MadeWorld> make_world(const std::string& world_id, bool reuse);
    // Keeps the directory of a world that has ended as the spare one, or drops it if that
    // place is taken or `slot` is not its only, empty one.
    Result<> keep_spare(const std::string& world_id, const std::string& slot);
    // A world's directory and its lock; without the descriptor, it is held by its
    // agent, or (only when nothing may be written) there is no lock file.
    struct FoundWorld {
        std::string id;
        bool dead = false;
        sys::UniqueFd lock;
    };
    // The name that the world's network has on the host, for who finds the world dead; empty: none.
    Result<> note_network(const std::string& world_id, const std::string& name) const;
    std::string noted_network(const std::string& world_id) const;
    // Every world there is, the dead ones locked against others. No world that is
    // being made is among them.
    Result<std::vector<FoundWorld>> lock_dead_worlds() const;
    // A fresh slot of a world for one capture: its path relative to the store.
    Result<std::string> make_slot(const std::string& world_id, unsigned number, CaptureStrategy strategy);
    // Gives the root of a slot's capture the mode and owner of the project: it is
    // what a command sees as the project's directory itself.
    Result<> take_on_project_root(const std::string& slot, CaptureStrategy strategy);
    // Writes down how the capture in `manifest.dir`, a slot, was made. Called before a
    // command starts in it: what a slot without this holds, no command has made.
    Result<> mark_capture(const Manifest& manifest);
    Result<std::optional<Manifest>> marked_capture(const std::string& slot) const;
    // Moves to trash; empty_trash deletes it, off the path of any command.
    Result<> discard(const std::string& relative_path);
    void empty_trash();

    Result<> save(const Manifest& manifest);
    Result<std::optional<Manifest>> load(const std::string& span_id) const;
    // Every manifest, by the time of capture. A damaged one is left out.
    Result<std::vector<Manifest>> list() const;
    // Gives up an applied span's previous content: the project can no longer be
    // shown as it was before.
    Result<> forget(const Manifest& manifest);
    // Gives up a kept capture that is not applied; of one that was applied in part, the previous content too.
    Result<> drop(const Manifest& manifest);
    // From now on no state of the project before `time_ns` can be shown.
    Result<> forget_until(std::int64_t time_ns);
    // No state of the project before this time can be shown; 0: none is lost.
    std::int64_t forgotten_until_ns() const;
    static std::string span_dir(const std::string& span_id) { return "spans/" + span_id; }

  private:
    Store(std::string path, std::string project, sys::UniqueFd fd)
        : path_(std::move(path)), project_(std::move(project)), fd_(std::move(fd)) {}
    Result<sys::UniqueFd> take_spare(const std::string& dir);
    Result<bool> is_spare(const std::string& dir, const std::string& slot);

    std::string path_;
    std::string project_;
    sys::UniqueFd fd_;
    std::uint64_t trash_number_ = 0;
};

// The directory of `roots` that captures of most projects will use: the first
// that can be made and is no tmpfs, else the first. Created; what overlay can do is
// tried there.
std::string usual_capture_root(const std::vector<std::string>& roots);

// True when the directory lies on a tmpfs.
Result<bool> is_in_memory(const std::string& directory);

// Where the stores of all projects are: for status and gc.
Result<std::vector<std::string>> list_stores(const std::vector<std::string>& roots);

}  // namespace substrate::supervisor
