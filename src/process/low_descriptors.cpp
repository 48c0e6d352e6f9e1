#include "process/low_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "sys/file.hpp"

namespace substrate::process {
namespace {

constexpr std::size_t kCount = kMaxPlacements + 2;  // the report and the id maps

}  // namespace

Result<std::shared_ptr<LowDescriptors>> LowDescriptors::reserve() {
    std::shared_ptr<LowDescriptors> reserved(new LowDescriptors());
    // The last one is a spare, from which each place is filled again.
    while (reserved->places_.size() <= kCount) {
        SUB_TRY_ASSIGN(sys::UniqueFd null, sys::open_path("/dev/null", O_PATH));
        reserved->places_.push_back(std::move(null));
    }
    return reserved;
}

Result<std::optional<LowDescriptors::Lease>> LowDescriptors::lend(ChildPlan& plan) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return std::optional<Lease>();
    Lease lease(*this, std::move(lock));
    Result<> copied;
    const auto move_down = [&](int& fd) {
        if (!copied || fd < 0) return;
        const int place = places_[lease.used_].get();
        if (::dup3(fd, place, O_CLOEXEC) < 0) {
            copied = fail(Error::last_os("dup3"));
            return;
        }
        ++lease.used_;
        fd = place;
    };
    for (unsigned i = 0; i < plan.placement_count; ++i) move_down(plan.placements[i].source);
    move_down(plan.report_fd);
    move_down(plan.id_maps_ready_fd);
    SUB_TRY(std::move(copied));
    plan.own_table_below = static_cast<unsigned>(places_.back().get());
    return lease;
}

LowDescriptors::Lease::~Lease() {
    if (!lock_) return;
    for (std::size_t i = 0; i < used_; ++i)
        (void)::dup3(owner_->places_.back().get(), owner_->places_[i].get(), O_CLOEXEC);
}

}  // namespace substrate::process
