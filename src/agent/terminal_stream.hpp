#pragma once

#include <xxhash.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/approvals.hpp"
#include "agent/budgets.hpp"
#include "agent/output_ring.hpp"
#include "agent/stream_frames.hpp"
#include "agent/stream_link.hpp"
#include "supervisor/executor.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::agent {

// A terminal in a world and the client at its other end, who may come and go: moves bytes between the
// terminal's master and a WebSocket, and does what the client's control frames say. The asker of the
// commands that run on it. Lives in one thread, but for what says otherwise.
class TerminalStream final : public supervisor::Caller {
  public:
    struct Options {
        std::string id;        // "ses_…"
        std::string agent_id;  // who may return to it
        bool shell = false;    // runs lines, one after another
        bool stays = false;    // when its client has gone, for a time
        std::int64_t detached_ms = 0;
        std::int64_t idle_ms = 0;  // of a shell, from one line to the next
        std::uint16_t columns = 80, rows = 24;
    };
    // `document` must outlive it.
    static Result<std::shared_ptr<TerminalStream>> make(Options options, const Env& env, const Json& document,
                                                        std::shared_ptr<StreamLink> link);

    ~TerminalStream() override;
    TerminalStream(const TerminalStream&) = delete;
    TerminalStream& operator=(const TerminalStream&) = delete;

    // From any thread.
    const Options& options() const { return options_; }
    // A new client; the one before is sent away. `received`: how much output it has had in all.
    void attach(std::shared_ptr<StreamLink> link, std::optional<std::uint64_t> received);
    void send_signal(int signal);
    void stop();  // the agent ends
    void wake();
    bool attached() const { return attached_; }
    std::string running_span() const;

    // The master of the terminal, and whether it is owned by somebody else, who outlives the use.
    void take_terminal(sys::UniqueFd master) override;
    void borrow_terminal(int master);
    // Before its owner closes it.
    void drop_terminal();
    // The terminal of a shell is there, and takes lines.
    void tell_ready();
    struct Line {
        std::uint64_t seq = 0;
        std::string cmd;
        std::int64_t timeout_ms = 0;
    };
    std::optional<Line> take_line();
    // What follows, until end_command(), is about this command.
    void begin_command(const std::string& span_id, std::optional<std::uint64_t> seq,
                       std::unique_ptr<Budgets::Ticket> ticket);
    void end_command();
    // It must not run: it counts as no command, and the client gets the frame.
    void refuse_command(Json frame);
    // Good until then.
    void use_token(std::unique_ptr<supervisor::ScopeTokens::Live> token) { token_ = std::move(token); }
    // With the seq of the line, if one is at hand.
    void send_error(Json frame, std::optional<std::uint64_t> seq = {});
    void send_frame(const Json& frame);
    void close(StreamClose why);
    void use_allowance(std::shared_ptr<supervisor::NestedAllowance> allowance) {
        allowance_ = std::move(allowance);
    }
    std::shared_ptr<supervisor::NestedAllowance> nested_allowance() override { return allowance_; }
    // Whom the questions of policies go to; until then nobody can be asked. Must outlive it.
    void use_approvals(Approvals& approvals) { approvals_ = &approvals; }
    // The client has no more use for it, or nobody has come back in time.
    bool leaving() const { return leaving_; }
    // Where the shell is, for command_complete.
    void use_shell(const supervisor::LiveShell* shell) { shell_ = shell; }

    int fd() const override { return epoll_.get(); }
    Result<Word> hear() override;
    Result<> tell_ended(int) override { return {}; }
    Result<OutputRecord> take_output() override;
    // Who sits at the other end sees that somebody is asked, who decides by /v1/approvals.
    Result<bool> can_ask() override { return approvals_ != nullptr && !approvals_->closed(); }
    Result<std::optional<broker::Answer>> ask_approval(const broker::ApprovalQuestion& question) override;
    const char* silence() const override { return "nobody has decided in time"; }
    Result<bool> ask_commit(const FsDiff&) override { return false; }
    void conclude(const ExecResult& result) override;

  private:
    struct FreeHash {
        void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
    };
    TerminalStream(Options options, const Env& env, const Json& document, std::shared_ptr<StreamLink> link);
    Result<> open();
    Result<std::optional<Word>> attend();
    bool await_decision(int left_ms);
    void adopt_client();
    void send_missed(std::uint64_t received);
    void mind_client();
    void hear_client();
    void take_message(const StreamMessage& message);
    void take_frame(const ClientFrame& frame);
    void take_input(std::string_view bytes);
    void write_input();
    bool read_output(bool whatever);
    void pump();
    Result<> listen(std::uint32_t events);
    Result<> arm_timer();
    std::int64_t deadline_ns() const;
    int take_signal();
    Json ready_frame() const;

    const Options options_;
    const Env& env_;
    const Json& document_;
    sys::UniqueFd wake_, epoll_, timer_;
    sys::UniqueFd owned_;
    int master_ = -1;
    std::uint32_t listening_ = 0;  // to the master: of EPOLLIN and EPOLLOUT
    bool hung_up_ = false;         // nobody holds the other end
    std::shared_ptr<StreamLink> link_;
    OutputRing ring_;
    std::uint64_t given_ = 0;  // of the output, to clients that were there to take it
    std::string input_;        // for the terminal
    std::vector<char> buffer_;
    std::unique_ptr<XXH3_state_t, FreeHash> hash_;
    std::uint64_t hashed_ = 0;
    std::unique_ptr<Budgets::Ticket> ticket_;
    std::unique_ptr<supervisor::ScopeTokens::Live> token_;
    std::shared_ptr<supervisor::NestedAllowance> allowance_;
    Approvals* approvals_ = nullptr;
    Json question_;  // the frame of what waits for a decision; null: nothing does
    const supervisor::LiveShell* shell_ = nullptr;
    bool ready_ = false;
    bool running_ = false;
    std::optional<std::uint64_t> seq_;
    std::optional<Line> line_;  // that is to be run next
    bool leaving_ = false;
    std::int64_t detached_since_ns_ = 0, idle_since_ns_ = 0;
    std::int64_t armed_ns_ = 0;  // what the timer is set to; 0: nothing
    bool by_budget_ = false;     // or to the end of a budget
    std::atomic<bool> attached_ = true;

    mutable std::mutex mutex_;  // of what follows
    std::shared_ptr<StreamLink> coming_;
    std::optional<std::uint64_t> coming_received_;
    std::deque<int> signals_;
    bool stopping_ = false;
    std::string span_id_;
};

}  // namespace substrate::agent
