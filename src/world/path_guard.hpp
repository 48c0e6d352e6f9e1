#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/path_pattern.hpp"
#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "process/child_plan.hpp"

namespace substrate::world {

// What a call does with what it names.
enum class PathUse : std::uint8_t {
    read,
    list,            // a directory, or what a link says
    write,           // make, change or remove it
    make_directory,  // or remove an empty one
};

// What a world's commands may not touch by any name: the patterns of a plan, and the process that
// holds them for one command after another (process::ChildGuard).
class PathGuard {
  public:
    // Errc::invalid for a pattern that cannot be used.
    static Result<PathGuard> make(const plan::WorldPlan& plan);

    // `name`: as the kernel gives it for a descriptor.
    bool denies(const std::string& name, PathUse use) const;
    // Whether what is denied below a directory stays so when it is renamed.
    bool may_move(const std::string& from, const std::string& to) const;

    // For one child; this must live until the child was reaped.
    process::ChildGuard child_guard() const;

  private:
    struct Rule {
        std::vector<std::string> below;
        PathPatterns patterns;
    };
    static Result<std::vector<Rule>> compile(const std::vector<FsRule>& rules);
    bool denies_path(std::string_view path, PathUse use) const;
    std::string canonical(const std::string& name) const;

    PathPatterns patterns_;
    std::vector<Rule> write_rules_;
    std::vector<Rule> read_rules_;
    std::string project_;
    std::string alias_;  // where the project is shown as well; empty: nowhere
    std::vector<sock_filter> filter_;
};

}  // namespace substrate::world
