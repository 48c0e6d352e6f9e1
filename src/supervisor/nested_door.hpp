#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "broker/broker.hpp"
#include "codec/frame.hpp"
#include "supervisor/nested_protocol.hpp"
#include "sys/unique_fd.hpp"
#include "trace/record.hpp"
#include "trace/writer.hpp"

namespace substrate::supervisor {

struct Machine;
struct Passage;

// What one world, and all of them, may have of the agent at their doors.
struct NestedLimits {
    unsigned open = 32;                        // connections of one world at once
    unsigned open_in_all = 128;                // of all worlds
    unsigned per_command = 5000;               // judged for one command that the world runs
    std::size_t bytes_per_command = 8u << 20;  // of their requests
    int depth = 16;
    unsigned burst = 200, per_second = 200;  // judged
    std::int64_t ask_ns = 5'000'000'000;     // until a connection has said what it wants
};

// Counts what is run from inside a world in the name of whoever asked for the command that the world runs.
// Called in any thread; may be called as long as the world lives.
class NestedAllowance {
  public:
    virtual ~NestedAllowance() = default;
    // One more command, which is about to run. An error: it must not.
    virtual Result<> take(const std::string& span_id) = 0;
};

// What is true of every command that is asked about in a world now: the command that the world runs, or
// whose background processes live on in it.
struct NestedGround {
    Span outer;               // as it is known while the command runs
    std::string governed_by;  // the directory whose policies hold
    std::string profile;      // and the policy that was asked for besides; empty: none
    bool ephemeral = false;   // as it was run
    CommitMode commit = CommitMode::automatic;
    std::shared_ptr<NestedAllowance> allowance;  // null: nobody counts
};

// The agent's side of a world's door: whoever runs `substrate` in the world asks here, is judged by the
// policies of the command that the world runs, and has its own span. Nothing that is said here says who
// speaks: that is the world whose socket it is, its running command, and by the peer's process (SO_PEERCRED)
// the nested command it descends from. Holds what it takes in within NestedLimits, never waits, and takes
// only a few steps at a time, so a world that floods its door keeps its own supervisor busy and nobody else.
class NestedDoor {
  public:
    NestedDoor() = default;
    NestedDoor(const NestedDoor&) = delete;
    NestedDoor& operator=(const NestedDoor&) = delete;
    ~NestedDoor();

    // `init` is the world's process 1, where the search for a nested parent ends.
    void open(sys::UniqueFd listener, pid_t init, std::shared_ptr<std::atomic<unsigned>> open_in_all,
              NestedLimits limits = {});
    // From now on. What runs already keeps the ground on which it was judged.
    void stand_on(NestedGround ground);

    // What to poll for, at `now_ns` (monotonic); nothing while nobody may come in.
    void add_to(std::vector<pollfd>& polled, std::int64_t now_ns) const;
    // Somebody is in, or waits to come in: without waiting.
    bool has_work(std::int64_t now_ns) const;
    bool anybody_in() const { return !visitors_.empty(); }

    // Hears and answers what there is.
    void serve(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker);
    // The world has ended: those that were running have too.
    void shut(const Machine& machine, trace::TraceWriter& trace);

  private:
    struct Visitor {
        sys::UniqueFd socket;
        FrameReader reader{kMaxNestedFrame};
        pid_t pid = 0;
        std::int64_t came_ns = 0;  // monotonic
        std::size_t heard = 0;     // bytes since the last answer
        int depth = 0;             // 0: not judged yet
        std::int64_t started_ns = 0;
        Span span;  // without its texts: these are in the draft
        trace::SpanDraft draft;
        bool would_deny = false;
    };
    enum class Next : std::uint8_t { stay, leave };
    struct Help {
        const Machine& machine;
        trace::TraceWriter& trace;
        broker::Broker& broker;
    };

    void let_in(std::int64_t now_ns);
    Next hear(const Help& help, Visitor& visitor);
    Next answer(const Help& help, Visitor& visitor, std::string_view payload);
    Result<Json> judge(const Help& help, Visitor& visitor, std::string_view payload);
    Result<> take_from_limits(const Help& help, std::size_t bytes);
    Result<> check_wishes(const ExecRequest& request) const;
    Result<> check_token(const Help& help, ExecRequest& request) const;
    void begin_span(const Machine& machine, Visitor& visitor, const Passage& passage,
                    const std::string& span_id) const;
    static void record(const Machine& machine, trace::TraceWriter& trace, Visitor& visitor,
                       const std::optional<NestedEnd>& end);
    const Visitor* parent_of(pid_t pid) const;
    bool may_come_in(std::int64_t now_ns) const;
    double tokens_at(std::int64_t now_ns) const;

    sys::UniqueFd listener_;
    pid_t init_ = -1;
    std::shared_ptr<std::atomic<unsigned>> open_in_all_;
    NestedLimits limits_;
    std::optional<NestedGround> ground_;
    std::list<Visitor> visitors_;
    unsigned judged_ = 0;  // for this command
    std::size_t judged_bytes_ = 0;
    double tokens_ = 0;
    std::int64_t filled_ns_ = 0;
};

}  // namespace substrate::supervisor
