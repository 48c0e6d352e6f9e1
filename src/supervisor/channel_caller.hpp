#pragma once

#include <optional>
#include <string>

#include "codec/json_value.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/channel.hpp"
#include "supervisor/executor.hpp"

namespace substrate::supervisor {

// The client at the other end of control.sock, while its command runs. The channel must outlive it.
class ChannelCaller : public Caller {
  public:
    ChannelCaller(Agent& agent, Channel& channel, bool want_span)
        : agent_(agent), channel_(channel), want_span_(want_span) {}

    int fd() const override { return channel_.fd(); }
    Result<Word> hear() override;
    // Sends it on with `terminal`.
    void take_terminal(sys::UniqueFd master) override;
    Result<> tell_ended(int exit) override;
    Result<OutputRecord> take_output() override;
    Result<bool> can_ask() override;
    Result<std::optional<broker::Answer>> ask_approval(const broker::ApprovalQuestion& question) override;
    Result<bool> ask_commit(const FsDiff& diff) override;
    // Counts the command, and sends `done`.
    void conclude(const ExecResult& result) override;

  private:
    Result<Json> approval(const Json& question);
    Result<Json> receive(std::string_view expected);

    Agent& agent_;
    Channel& channel_;
    bool want_span_;
    std::optional<Json> output_;  // arrived, not taken yet
};

}  // namespace substrate::supervisor
