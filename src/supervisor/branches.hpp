#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "supervisor/store.hpp"

namespace substrate::supervisor {

// A world that was made by a request of its own, or a snapshot: what is known of it while nothing of it runs.
// One that was forked, and a snapshot, have a line of undecided changes of their own beside the project's,
// and see nothing of what commands elsewhere have brought to the host since `base_ns`.
struct Branch {
    std::string id;            // "wld_…"; "snp_…" of a snapshot
    std::string name;          // as it was asked for; may be empty
    std::string agent_id;      // who asked
    std::string cwd;           // whose policies it was made for
    std::string from;          // what it was made from; empty: the project
    std::int64_t base_ns = 0;  // 0: it has the project's own line
    std::int64_t made_ns = 0;
    std::int64_t used_ns = 0;  // to the hour

    bool own_line() const { return base_ns != 0; }
    bool is_snapshot() const { return id.starts_with("snp_"); }
    bool operator==(const Branch&) const = default;
};

// branches/<id>.json of the store. A damaged one is left out of the list.
Result<> save_branch(const Store& store, const Branch& branch);
Result<std::vector<Branch>> list_branches(const Store& store);
Result<> remove_branch(const Store& store, const std::string& id);

// The uppers of the pending overlay captures of one line, top first, relative to the store. `line`: a
// branch's id, or empty for the project's own.
std::vector<std::string> pending_uppers(const std::vector<Manifest>& all, std::string_view line);

// What lies over the project for a command in a branch with a line of its own: its pending changes, and
// below them what commands elsewhere have replaced on the host since. Errc::conflict when that cannot be
// shown any more.
Result<std::vector<std::string>> branch_layers(const Store& store, const Branch& branch);

// Copies the pending changes of one line to another, which nobody uses yet: captures of their own, so that
// what becomes of one is nothing to the other. Until the branch `to` is saved, gc takes them for what an
// interrupted copy has left.
Result<> copy_line(Store& store, const Env& env, std::string_view from, const Branch& to);

// Drops the undecided changes of a line.
Result<> drop_line(Store& store, std::string_view line);

}  // namespace substrate::supervisor
