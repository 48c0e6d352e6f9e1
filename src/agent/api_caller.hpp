#pragma once

#include <xxhash.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/approvals.hpp"
#include "agent/budgets.hpp"
#include "agent/exchange.hpp"
#include "codec/json_value.hpp"
#include "supervisor/executor.hpp"
#include "sys/pipe.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::agent {

// Whoever asked over HTTP for the command that runs now: takes what it writes out of two pipes
// and puts it into the answer, whole or piece by piece. Lives in the command's thread.
class ApiCaller final : public supervisor::Caller {
  public:
    enum class Answer : std::uint8_t { whole, pieces };
    // Of a whole answer: this much of each stream is kept, the rest is counted and dropped.
    static constexpr std::size_t kKept = 4u << 20;

    static Result<std::unique_ptr<ApiCaller>> make(std::shared_ptr<Exchange> exchange, Answer answer,
                                                   std::string span_id);

    // What the command gets as its outputs.
    int stdout_fd() const { return taps_[0].pipe.write.get(); }
    int stderr_fd() const { return taps_[1].pipe.write.get(); }
    // Before it starts, of a request for a terminal: what is written there is the only output. `input` is
    // typed, and then the end of the file.
    void use_terminal(std::string input);
    // The command ends when its runtime budget does.
    Result<> use_ticket(std::unique_ptr<Budgets::Ticket> ticket);
    Budgets::Ticket* ticket() { return ticket_.get(); }
    // Good until the result is told.
    void use_token(std::unique_ptr<supervisor::ScopeTokens::Live> token) { token_ = std::move(token); }
    // Whom a question goes to, and in whose name; until then nobody can be asked.
    void use_approvals(Approvals& approvals, std::string agent_id) {
        approvals_ = &approvals;
        agent_id_ = std::move(agent_id);
    }
    void use_allowance(std::shared_ptr<supervisor::NestedAllowance> allowance) {
        allowance_ = std::move(allowance);
    }
    std::shared_ptr<supervisor::NestedAllowance> nested_allowance() override { return allowance_; }
    // It must not run: the whole answer, or the last frame of one that has begun.
    void refuse(HttpResponse refusal);
    // From any thread.
    void send_signal(int signal);
    // What has become known about the command, for an answer in pieces.
    void tell_event(const Json& record);
    // Called once when the result is known, before anybody can read it.
    void on_end(std::function<void(const ExecResult&)> call) { on_end_ = std::move(call); }
    // The command did not start, or its world failed.
    void fail_with(const Error& error);

    int fd() const override { return epoll_.get(); }
    Result<Word> hear() override;
    void take_terminal(sys::UniqueFd master) override;
    Result<> tell_ended(int exit) override;
    Result<OutputRecord> take_output() override;
    // Nobody sits at the other end; a person may come to the list of what waits.
    Result<bool> can_ask() override { return approvals_ != nullptr && !approvals_->closed(); }
    Result<std::optional<broker::Answer>> ask_approval(const broker::ApprovalQuestion& question) override;
    const char* silence() const override { return "nobody has decided in time"; }
    Result<bool> ask_commit(const FsDiff&) override { return false; }
    void conclude(const ExecResult& result) override;

  private:
    struct FreeHash {
        void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
    };
    struct Tap {
        const char* name = "";
        sys::Pipe pipe;  // of a terminal, the reading end is its master
        std::unique_ptr<XXH3_state_t, FreeHash> hash;
        std::uint64_t bytes = 0;
        std::string kept;
        bool truncated = false;
    };
    ApiCaller(std::shared_ptr<Exchange> exchange, Answer answer, std::string span_id);
    Result<> open();
    Result<> open_tap(Tap& tap, const char* name);
    Result<> listen(bool to_output);
    Result<> watch(const Tap& tap, int change);
    Result<std::size_t> move_some(Tap& tap);
    Result<> move_output();
    void take(Tap& tap, std::string_view bytes);
    Result<> type();
    Result<std::size_t> left_in(const Tap& tap) const;
    Result<> arm_timer(std::int64_t left_ns);
    void begin();
    void send_frame(const Json& frame);
    void send_events();

    std::shared_ptr<Exchange> exchange_;
    Answer answer_;
    std::string span_id_;
    sys::UniqueFd epoll_;
    sys::UniqueFd timer_;
    Tap taps_[2];
    std::vector<char> buffer_;
    std::string frame_;
    bool begun_ = false;
    bool taken_ = false;    // the rest of the output
    bool listens_ = false;  // to the pipes
    bool terminal_ = false;
    bool hung_up_ = false;  // nobody has the terminal any more
    std::string typed_;     // what it has yet to take
    std::unique_ptr<Budgets::Ticket> ticket_;
    std::unique_ptr<supervisor::ScopeTokens::Live> token_;
    std::shared_ptr<supervisor::NestedAllowance> allowance_;
    Approvals* approvals_ = nullptr;
    std::string agent_id_;
    std::function<void(const ExecResult&)> on_end_;
    std::mutex mutex_;
    std::deque<int> signals_;
    std::deque<Json> events_;  // that the client has not been told yet
    std::uint64_t lost_events_ = 0;
};

}  // namespace substrate::agent
