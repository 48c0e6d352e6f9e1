#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.hpp"
#include "broker/policy_file.hpp"

namespace substrate::broker {

// Editors that save by rename leave a moment without the file.
inline constexpr std::int64_t kAbsenceGraceNs = 1'000'000'000;

// Files of one kind as they were last understood. What is broken or being written now
// does not take the place of what was good before.
template <class T>
class FileMemory {
  public:
    struct Known {
        std::shared_ptr<const T> good;  // null: no such file, or never a good one
        std::optional<Error> problem;   // of the newest content, where that is not `good`
        std::optional<FileStamp> stamp;
        std::int64_t absent_since_ns = 0;  // monotonic; 0: it is there, or is known to be gone
        bool unsettled = false;            // to be looked at again though no stamp has changed
    };

    // Looks at `path` again where it has changed. `parse` makes a Result<T> of the text.
    template <class Parse>
    const Known& look(const std::string& path, Ground ground, std::uint32_t uid, std::int64_t now_ns,
                      Parse parse) {
        const auto [it, first] = known_.try_emplace(path);
        Known& known = it->second;
        const auto stamp = stamp_of(path);
        if (!first && stamp == known.stamp && !known.unsettled) return known;
        known.unsettled = false;
        known.stamp = stamp;
        if (!stamp) {
            note_absent(known, now_ns);
            return known;
        }
        auto file = read_policy_file(path, ground, uid);
        if (!file) {
            known.unsettled = file.error().code() == Errc::conflict;
            known.problem = std::move(file).error();
        } else if (!*file) {
            known.stamp.reset();
            note_absent(known, now_ns);
        } else {
            known.stamp = (*file)->stamp;
            known.absent_since_ns = 0;
            Result<T> parsed = parse(std::move((*file)->text));
            if (parsed) {
                known.good = std::make_shared<const T>(std::move(*parsed));
                known.problem.reset();
            } else known.problem = std::move(parsed).error();
        }
        return known;
    }

  private:
    static void note_absent(Known& known, std::int64_t now_ns) {
        known.problem.reset();
        if (!known.good) return;
        if (known.absent_since_ns == 0) known.absent_since_ns = now_ns;
        if (now_ns - known.absent_since_ns < kAbsenceGraceNs) {
            known.unsettled = true;
            return;
        }
        known.good.reset();
        known.absent_since_ns = 0;
    }

    std::map<std::string, Known> known_;
};

}  // namespace substrate::broker
