#include "capture/temporaries.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>

#include "capture/change.hpp"
#include "capture/dir_cursor.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

constexpr const char* kJournal = "temporaries";
constexpr char kDisposable = 'x';
constexpr char kDirectory = 'd';

// One record is the use, the path, a NUL, the target's name, a NUL.
struct Record {
    char use = 0;
    std::string path;
    std::string target;
};

// False at the end. Before a torn record's object was made, the crash came.
bool next_record(std::string_view& text, Record& record) {
    const std::size_t path_end = text.find('\0');
    if (path_end == std::string_view::npos || path_end == 0) return false;
    const std::size_t target_end = text.find('\0', path_end + 1);
    if (target_end == std::string_view::npos) return false;
    record = {text[0], std::string(text.substr(1, path_end - 1)),
              std::string(text.substr(path_end + 1, target_end - path_end - 1))};
    text.remove_prefix(target_end + 1);
    return true;
}

Result<> settle(const Record& record, int project, int source, const std::string& prefix) {
    const std::string name(name_part(record.path));
    if (!name.starts_with(prefix)) return {};
    DirCursor host(project);
    const auto dir = host.at(parent_part(record.path));
    if (!dir) return {};  // not there, or a link by now: nothing of ours is behind it
    struct ::statx st{};
    SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(*dir, name.c_str(), st));
    const std::uint32_t uid = sys::effective_uid();
    if (!exists || (st.stx_uid != uid && uid != 0)) return {};
    if (record.use != kDirectory || !is_directory(st)) return sys::remove_tree_at(*dir, name);
    // A copy can be made again; what was moved is here only.
    DirCursor captured(source);
    struct ::statx other{};
    if (const auto from = captured.at(parent_part(record.path))) {
        SUB_TRY_ASSIGN(const bool still_there, sys::stat_entry(*from, record.target.c_str(), other));
        if (still_there) return sys::remove_tree_at(*dir, name);
    }
    SUB_TRY_ASSIGN(const bool taken, sys::stat_entry(*dir, record.target.c_str(), other));
    if (!taken) return sys::rename_at(*dir, name.c_str(), *dir, record.target.c_str(), RENAME_NOREPLACE);
    if (is_directory(other))
        return fail({Errc::conflict, "'" + record.path + "' cannot become '" + record.target +
                                         "': a directory of that name was made meanwhile"});
    SUB_TRY(sys::rename_at(*dir, name.c_str(), *dir, record.target.c_str(), RENAME_EXCHANGE));
    return sys::unlink_at(*dir, name.c_str());
}

}  // namespace

Result<std::string> Temporaries::name(int dir, std::string_view path, std::string_view target, Use use) {
    struct ::statx st{};
    for (int i = 0; i < 1000; ++i) {
        std::string name = prefix_ + std::to_string(i);
        SUB_TRY_ASSIGN(const bool taken, sys::stat_entry(dir, name.c_str(), st));
        if (taken) continue;
        if (journal_dir_ < 0) return name;
        if (!journal_) {
            SUB_TRY_ASSIGN(journal_, sys::open_at(journal_dir_, kJournal,
                                                  O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
        }
        std::string record(1, use == Use::directory ? kDirectory : kDisposable);
        record.append(path).append(path.empty() ? "" : "/").append(name).append(1, '\0');
        record.append(target).append(1, '\0');
        SUB_TRY_DURING(sys::write_all(journal_.get(), record), "writing down a temporary name");
        return name;
    }
    return fail({Errc::conflict, "no free name for a temporary file"});
}

Result<> Temporaries::forget() {
    if (!journal_) return {};
    journal_.reset();
    return sys::unlink_at(journal_dir_, kJournal);
}

Result<> settle_temporaries(int project, int source, int journal_dir, const std::string& prefix) {
    const auto journal = sys::open_at(journal_dir, kJournal, O_RDONLY | O_NOFOLLOW);
    if (!journal && journal.error().os_errno() == ENOENT) return {};
    if (!journal) return fail(journal.error());
    constexpr std::size_t kMostJournal = std::size_t{1} << 30;
    SUB_TRY_ASSIGN(const std::string text, sys::read_to_end(journal->get(), kMostJournal));
    std::string_view rest = text;
    for (Record record; next_record(rest, record);)
        SUB_TRY_DURING(settle(record, project, source, prefix), "clearing '" + record.path + "'");
    return sys::unlink_at(journal_dir, kJournal);
}

}  // namespace substrate::capture
