#include "broker/approvals.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "broker/approvals_file.hpp"
#include "broker/policy_file.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"

namespace substrate::broker {
namespace {

constexpr const char* kRepair = "repair the file or remove it; until then nothing in it counts";
// A file can change twice within one tick of the clock that stamps it. What
// was read this soon after a change is read again.
constexpr std::int64_t kSettled = 2'000'000'000;

FileStamp stamp_from(const struct ::statx& st) {
    return {sys::device_of(st), st.stx_ino, st.stx_size, sys::to_ns(st.stx_mtime), sys::to_ns(st.stx_ctime)};
}

// Empty when the file may be believed, else what is wrong with it.
std::string distrust(const struct ::statx& st) {
    if (S_ISLNK(st.stx_mode)) return "is a symbolic link";
    if (S_ISDIR(st.stx_mode)) return "is a directory";
    if (S_ISFIFO(st.stx_mode)) return "is a FIFO";
    if (!S_ISREG(st.stx_mode)) return "is no regular file";
    if (st.stx_uid != ::geteuid() && st.stx_uid != 0)
        return "belongs to the user with the id " + std::to_string(st.stx_uid);
    if ((st.stx_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fmt::format("can be written by others (mode {:04o})", st.stx_mode & 07777u);
    if (st.stx_size > kMaxApprovalsFile)
        return fmt::format("has {} bytes, more than {}", st.stx_size, kMaxApprovalsFile);
    return {};
}

Error unbelieved(const std::string& file, const std::string& why) {
    return Error(Errc::safety, "'" + file + "' " + why).hint(kRepair);
}

struct Loaded {
    std::vector<Approval> approvals;
    FileStamp stamp;
};

// Reads the file once; nullopt when there is none.
Result<std::optional<Loaded>> load_once(const std::string& file) {
    SUB_TRY_ASSIGN(const auto named, sys::stat_at(AT_FDCWD, file.c_str()));
    if (!named) return std::nullopt;
    // Before the open: that of a device could do something.
    if (const std::string why = distrust(*named); !why.empty()) return fail(unbelieved(file, why));
    auto fd = sys::open_path(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (!fd && fd.error().os_errno() == ENOENT) return std::nullopt;
    if (!fd) return fail(std::move(fd).error().hint(kRepair));
    SUB_TRY_ASSIGN(const auto before, sys::stat_fd(fd->get()));
    if (const std::string why = distrust(before); !why.empty()) return fail(unbelieved(file, why));
    SUB_TRY_ASSIGN(const std::string text, sys::read_to_end(fd->get(), kMaxApprovalsFile));
    SUB_TRY_ASSIGN(const auto after, sys::stat_fd(fd->get()));
    if (stamp_from(before) != stamp_from(after))
        return fail(Error(Errc::conflict, "'" + file + "' changes while it is read").hint("try again"));
    auto approvals = parse_approvals(text, file);
    if (!approvals) return fail(std::move(approvals).error().hint(kRepair));
    return Loaded{*std::move(approvals), stamp_from(after)};
}

Result<std::optional<Loaded>> load(const std::string& file) {
    auto loaded = load_once(file);
    for (int again = 0; again < 3 && !loaded && loaded.error().code() == Errc::conflict; ++again)
        loaded = load_once(file);
    if (!loaded) return fail(std::move(loaded).error().during("reading the approvals"));
    return loaded;
}

bool covers_scope(const ApprovalScope& kept, const ApprovalScope& asked) {
    return kept.pattern == asked.pattern && kept.policy_hash == asked.policy_hash &&
           kept.policy_id == asked.policy_id && is_within(asked.directory, kept.directory);
}

std::string lock_name(std::string_view file) {
    std::string_view name = file.substr(file.rfind('/') + 1);
    if (name.ends_with(".yaml")) name.remove_suffix(5);
    return std::string(name) + ".lock";
}

}  // namespace

// What the file said at one time, or why it says nothing.
struct Approvals::Snapshot {
    std::vector<Approval> approvals;
    std::optional<Error> error;
    std::optional<FileStamp> stamp;  // nullopt: there was no file
    bool settled = false;            // an equal stamp means an equal content
};

std::shared_ptr<const Approvals::Snapshot> Approvals::current() const {
    const auto broken = [](Error error) {
        auto made = std::make_shared<Snapshot>();
        made->error = std::move(error);
        return made;
    };
    auto named = sys::stat_at(AT_FDCWD, file_.c_str());
    if (!named) return broken(std::move(named).error().during("reading the approvals").hint(kRepair));
    std::optional<FileStamp> stamp;
    if (*named) stamp = stamp_from(**named);
    {
        const std::lock_guard guard(mutex_);
        if (snapshot_ && snapshot_->settled && snapshot_->stamp == stamp) return snapshot_;
    }
    std::shared_ptr<Snapshot> made = std::make_shared<Snapshot>();
    made->settled = !stamp;
    if (stamp) {
        const std::int64_t now = env_.realtime_ns();
        auto loaded = load(file_);
        if (!loaded) {
            made = broken(std::move(loaded).error());
        } else if (*loaded) {
            made->approvals = std::move((*loaded)->approvals);
            made->stamp = (*loaded)->stamp;
            made->settled = (*loaded)->stamp.ctime_ns < now - kSettled;
        }
    }
    // What is broken is looked at again each time: why may lie outside the file.
    const std::lock_guard guard(mutex_);
    snapshot_ = made;
    return made;
}

bool Approvals::covers(const ApprovalScope& scope, const std::string& session, std::string& problem) const {
    problem.clear();
    const auto known = current();
    if (known->error) problem = known->error->describe();
    if (!problem_of(scope).empty()) return false;
    for (const Approval& approval : known->approvals)
        if (covers_scope(approval.scope, scope)) return true;
    if (session.empty()) return false;
    const std::lock_guard guard(mutex_);
    return std::ranges::any_of(session_, [&](const SessionAnswer& answer) {
        return answer.session == session && covers_scope(answer.scope, scope);
    });
}

// One edit of the file as it is now, alone among threads and processes.
Result<> Approvals::change(const Edit& edit) {
    SUB_TRY_ASSIGN(const sys::UniqueFd directory, sys::open_private_dir(std::string(parent_of(file_))));
    SUB_TRY_ASSIGN(const sys::UniqueFd beside,
                   sys::open_at(directory.get(), lock_name(file_),
                                O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
    SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(beside.get()));
    auto loaded = load(file_);
    if (!loaded) return fail(std::move(loaded).error().as(Errc::conflict));
    std::vector<Approval> before;
    if (*loaded) before = std::move((*loaded)->approvals);
    std::vector<Approval> after = before;
    edit(after);
    if (after == before) return {};
    const std::string text = format_approvals(after);
    if (after.size() > kMaxApprovals || text.size() > kMaxApprovalsFile)
        return fail(Error(Errc::conflict, "'" + file_ + "' cannot hold more approvals")
                        .hint("remove some with 'substrate policy approvals --revoke ID'"));
    // A file that we could not read again would switch off all that is in it.
    const auto again = parse_approvals(text, file_);
    if (!again || *again != after)
        return fail({Errc::internal, "an approval cannot be written so that it reads back the same"});
    return sys::replace_file(file_, text, 0600, /*sync=*/true);
}

Result<> Approvals::keep(const ApprovalScope& scope, Answer answer, const std::string& session) {
    if (answer != Answer::session && answer != Answer::always) return {};
    if (const std::string wrong = problem_of(scope); !wrong.empty())
        return fail(
            Error(Errc::invalid, "this approval cannot be kept: " + wrong).hint("approve it once instead"));
    if (answer == Answer::session) {
        if (session.empty())
            return fail(Error(Errc::invalid, "this approval cannot be kept: there is no session")
                            .hint("approve it once instead"));
        const std::lock_guard guard(mutex_);
        for (const SessionAnswer& kept : session_)
            if (kept.scope.pattern == scope.pattern && kept.session == session && kept.scope == scope)
                return {};
        if (session_.size() >= kMaxApprovals) session_.erase(session_.begin());
        session_.push_back({session, scope});
        return {};
    }
    SUB_TRY_DURING(change([&](std::vector<Approval>& approvals) {
                       for (const Approval& kept : approvals)
                           if (kept.scope == scope) return;
                       approvals.push_back({scope, env_.realtime_ns(), make_id(env_, "apr")});
                   }),
                   "keeping an approval");
    return {};
}

Result<std::vector<Approval>> Approvals::list() const {
    const auto known = current();
    if (known->error) return fail(*known->error);
    return known->approvals;
}

Result<std::size_t> Approvals::remove(const std::function<bool(const Approval&)>& outdated) {
    // Most often there is nothing to do, and then nobody need wait for the lock.
    if (const auto known = current(); !known->error && std::ranges::none_of(known->approvals, outdated))
        return 0;
    std::size_t removed = 0;
    SUB_TRY_DURING(
        change([&](std::vector<Approval>& approvals) { removed = std::erase_if(approvals, outdated); }),
        "removing approvals");
    return removed;
}

std::size_t Approvals::forget(const std::function<bool(const SessionAnswer&)>& outdated) {
    const std::lock_guard guard(mutex_);
    return std::erase_if(session_, outdated);
}

Result<std::size_t> Approvals::revoke(std::string_view id) {
    const std::size_t forgotten = id.empty() ? forget([](const SessionAnswer&) { return true; }) : 0;
    SUB_TRY_ASSIGN(const std::size_t removed,
                   remove([id](const Approval& approval) { return id.empty() || approval.id == id; }));
    return forgotten + removed;
}

Result<std::size_t> Approvals::drop_outdated(const std::string& policy_id, const std::string& policy_hash) {
    const auto outdated = [&](const ApprovalScope& scope) {
        return scope.policy_id == policy_id && scope.policy_hash != policy_hash;
    };
    const std::size_t forgotten = forget([&](const SessionAnswer& answer) { return outdated(answer.scope); });
    SUB_TRY_ASSIGN(const std::size_t removed,
                   remove([&](const Approval& approval) { return outdated(approval.scope); }));
    return forgotten + removed;
}

void Approvals::end_session(std::string_view session) {
    (void)forget([&](const SessionAnswer& answer) { return answer.session == session; });
}

}  // namespace substrate::broker
