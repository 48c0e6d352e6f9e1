#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// What an apply puts beside its targets for a moment, written down before it is
// made, so that the next start knows it again after a crash.
namespace substrate::capture {

class Temporaries {
  public:
    enum class Use : std::uint8_t {
        disposable,  // a copy on its way to its name, or what was kept elsewhere before
        directory,   // a directory on its way to the name of a file
    };

    // Names begin with `prefix`, which nobody else uses. The journal lies in
    // `journal_dir` (-1: none is kept) from the first name on.
    Temporaries(std::string prefix, int journal_dir)
        : prefix_(std::move(prefix)), journal_dir_(journal_dir) {}

    // A free name in `dir`, which is `path` of the project, for what will be `target` there.
    Result<std::string> name(int dir, std::string_view path, std::string_view target, Use use);
    // Nothing of it is left: the journal goes.
    Result<> forget();

  private:
    std::string prefix_;
    int journal_dir_;
    sys::UniqueFd journal_;
};

// After a crash: removes from `project` what the journal in `journal_dir` names, and
// brings a directory that had left `source` to its name. Touches only objects whose
// name begins with `prefix` and that belong to the caller (to anybody, for root).
// The journal goes last. Without one there is nothing to do.
Result<> settle_temporaries(int project, int source, int journal_dir, const std::string& prefix);

}  // namespace substrate::capture
