#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "capture/apply.hpp"
#include "capture/snapshot.hpp"
#include "model/exec.hpp"
#include "plan/world_plan.hpp"
#include "supervisor/store.hpp"

namespace substrate::supervisor {

// One capture as it lies in a store: which directories hold what a command
// changed, and against what.
struct Captured {
    std::string dir;  // relative to the store: holds `upper` or `tree`
    CaptureStrategy strategy = CaptureStrategy::overlay;
    bool user_xattrs = true;
    std::vector<std::string> lowers;  // relative to the store: kept uppers, top first
    std::int64_t captured_ns = 0;
    std::vector<std::string> excluded;          // copy-diff
    const capture::Snapshot* before = nullptr;  // direct
    std::set<std::string, std::less<>> ours;    // host paths that we have written since
    capture::Permits permits;                   // null: everything
    // Decided already: what has changed on the host since is no conflict.
    bool forced = false;
    bool project_gone = false;  // compared with nothing; cannot be applied
    // Of a branch with a line of its own: as in the manifest.
    std::string branch;
    std::int64_t base_ns = 0;
};

// What the command changed. Reads the capture and the project, writes nothing.
Result<FsDiff> diff_captured(const Store& store, const Captured& captured);

// What a world with this plan holds by name: its guard has held it while the command ran, and it is looked at
// again before anything is brought to the host. Null where nothing is.
capture::Permits permits_of(const plan::WorldPlan& plan);

// Adds every path that the capture changes to `paths`.
Result<> collect_paths(const Store& store, const Captured& captured,
                       std::set<std::string, std::less<>>& paths);

struct CommitReport {
    std::string state;  // "applied", "pending", "discarded", "none", "conflict"
    std::vector<std::string> notices;
};

// Brings the capture to the host and leaves spans/<id> with the manifest and
// the previous content. With `movable` false (processes still write to it) the capture
// stays where it is; otherwise it is used up. On a conflict nothing is written to the host
// and the capture is kept as spans/<id>.
Result<CommitReport> apply_captured(Store& store, const Env& env, const Captured& captured,
                                    const std::string& span_id, const std::string& world_id, bool movable,
                                    const std::vector<std::string>& only = {});

// Keeps the capture as spans/<id> in the given state.
Result<> keep_captured(Store& store, const Env& env, const Captured& captured, const std::string& span_id,
                       const std::string& world_id, KeptState state);

// Notes that a span changed the project directly: no earlier state can be
// shown across it.
Result<> note_direct_change(Store& store, const Env& env, const Captured& captured,
                            const std::string& span_id, const std::string& world_id);

// Writes down beside a slot's capture how it was made, for a collector that finds
// it after a crash (Store::mark_capture).
Result<> mark_captured(Store& store, const Env& env, const Captured& captured, const std::string& span_id,
                       const std::string& world_id);

// A kept capture again, with the pending ones of its line below it.
Captured captured_from(const Manifest& manifest, const std::vector<Manifest>& all);
// The same with what it lies on besides: in a line of its own, base_layers().
Result<Captured> captured_on_base(const Store& store, const Manifest& manifest,
                                  const std::vector<Manifest>& all);

// Where the changed files of a kept capture lie, absolute.
std::string captured_path(const Store& store, const Manifest& manifest);

// Completes what a crash interrupted: every span in state `applying` is applied
// to its end.
Result<> finish_interrupted_applies(Store& store, const Env& env);

// The `before` layers that, on top of the project, show it as it was at
// `time_ns`; nullopt with `why` when they are not all there. Changes of the branch `but_for` stay.
Result<std::optional<std::vector<std::string>>> layers_back_to(const Store& store, std::int64_t time_ns,
                                                               std::string& why,
                                                               std::string_view but_for = {});

// Those for a branch with a line of its own, whose own changes stay. Errc::conflict when they are not all
// there.
Result<std::vector<std::string>> base_layers(const Store& store, const std::string& branch,
                                             std::int64_t base_ns);

}  // namespace substrate::supervisor
