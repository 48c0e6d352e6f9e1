#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "capture/apply.hpp"
#include "capture/apply_plan.hpp"
#include "capture/dir_cursor.hpp"
#include "capture/previous_layer.hpp"
#include "capture/temporaries.hpp"
#include "capture/transfer.hpp"

namespace substrate::capture {

// The writing half of an apply: performs a plan's steps, remembers how to take
// each back.
class ApplyWriter {
  public:
    ApplyWriter(const ApplyRequest& request, ApplyReport& report);

    Result<> perform(const ApplyStep& step);
    // Metadata that had to wait until nothing is written any more.
    Result<> finish();
    // Takes back every step, the last first; what cannot be goes to report.unrestored.
    void roll_back();

  private:
    struct Undo {
        enum class What : std::uint8_t { object, directory_metadata, made_parent };
        std::string path;
        What what = What::object;
        PreviousLayer::Kept kept = PreviousLayer::Kept::nothing;
        bool host_lost = false;     // the previous object is no longer at the path
        bool wrote = false;         // the new one is
        bool moved = false;         // and it came by rename out of the source
        struct ::statx previous{};  // a directory's, for its metadata
    };
    struct Late {
        std::string path;
        struct ::statx st;
    };
    // One step's two ends, valid until a cursor moves.
    struct Ends {
        int source = -1;
        int host = -1;
        std::string name;
        struct ::statx now{};  // in the source
    };

    Result<> put(const ApplyStep& step);
    Result<> put_file(const ApplyStep& step, Ends& ends, Undo& undo);
    Result<bool> move_file(const Ends& ends);
    Result<> put_directory(const ApplyStep& step, Ends& ends, Undo& undo);
    Result<> bring_directory(const ApplyStep& step, const Ends& ends, const char* target, Undo& undo);
    Result<> set_directory(const ApplyStep& step);
    Result<> remove(const ApplyStep& step);
    Result<> unlock_host(std::string_view path, int dir);
    Result<> make_parents(std::string_view path);
    Result<> find_source(const ApplyStep& step, Ends& ends);
    Result<> find_host(const ApplyStep& step, Ends& ends, struct ::statx& host);
    Result<> clear_host(const ApplyStep& step, const Ends& ends, const struct ::statx& host, Undo& undo);
    Result<> take_away(const ApplyStep& step, const Ends& ends, const struct ::statx& host, Undo& undo);
    Result<> take_back(const Undo& undo);
    Result<> take_back_object(const Undo& undo);

    const ApplyRequest& request_;
    ApplyReport& report_;
    bool movable_;
    bool privileged_;       // directory modes do not bind us
    std::string unlocked_;  // the host directory that unlock_host saw last
    CopyRules rules_;
    DirCursor source_;
    DirCursor host_;
    PreviousLayer previous_;
    Temporaries temporaries_;
    std::vector<Undo> undo_;
    std::vector<Late> late_;
    std::string new_root_;  // the topmost directory that make_parents made last
    std::unordered_map<std::uint64_t, std::string> links_;  // host paths of copied files with several links
};

}  // namespace substrate::capture
