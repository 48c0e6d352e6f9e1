#include "capture/copy_walk.hpp"

#include "capture/layer_walk.hpp"
#include "capture/transfer.hpp"

namespace substrate::capture {

Result<CopyReport> make_copy(int base, int work, const std::vector<std::string>& excluded, bool keep_owner) {
    CopyReport report;
    const PathSet left_out(excluded);
    const SkipSink skip = [&](std::string_view path, const char*) { report.skipped.emplace_back(path); };
    SUB_TRY_DURING(
        copy_tree_contents(base, work, {.keep_owner = keep_owner}, &left_out, skip, &report.objects),
        "copying the project");
    return report;
}

Result<> walk_copy(const CopyTrees& trees, const ChangeSink& sink) {
    const PathSet excluded(trees.excluded);
    const int lowers[] = {trees.base};
    LayerWalk walk({.upper = trees.work,
                    .lowers = std::span(lowers).first(trees.base < 0 ? 0 : 1),
                    .layered = false,
                    .compare_owner = trees.compare_owner,
                    .untouched_before_ns = trees.copied_at_ns,
                    .excluded = &excluded},
                   sink);
    return walk.run();
}

}  // namespace substrate::capture
