#include "capture/apply.hpp"

#include "capture/apply_plan.hpp"
#include "capture/apply_writer.hpp"
#include "sys/directory.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

Result<> require_empty(int dir) {
    SUB_TRY(sys::rewind_dir(dir));
    sys::DirectoryReader reader(dir);
    SUB_TRY_ASSIGN(const auto* entry, reader.next());
    if (entry != nullptr) return fail({Errc::invalid, "the directory for the previous content is not empty"});
    return {};
}

Result<> perform_all(ApplyWriter& writer, const ApplyPlan& plan) {
    for (const ApplyStep& step : plan.steps) SUB_TRY(writer.perform(step));
    return writer.finish();
}

}  // namespace

Result<ApplyReport> apply_changes(const ApplyRequest& request) {
    SUB_TRY(require_empty(request.before_dir));
    auto planned = plan_apply(request);
    if (!planned) return fail(std::move(planned).error().during("checking the change"));
    ApplyPlan plan = *std::move(planned);
    ApplyReport report;
    report.skipped = std::move(plan.skipped);
    report.conflicts = std::move(plan.conflicts);
    report.conflict_count = plan.conflict_count;
    if (report.conflict_count != 0) {
        report.outcome = ApplyOutcome::conflicts;
        return report;
    }
    ApplyWriter writer(request, report);
    if (auto written = perform_all(writer, plan); !written) {
        report.failure = written.error().message();
        writer.roll_back();
        report.outcome = report.unrestored.empty() ? ApplyOutcome::rolled_back : ApplyOutcome::partly_applied;
        return report;
    }
    // Counted by object and not by step: a new directory is one step.
    const std::uint64_t left_out = report.skipped.size();
    report.applied = plan.changes > left_out ? plan.changes - left_out : 0;
    return report;
}

}  // namespace substrate::capture
