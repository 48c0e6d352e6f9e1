#include "supervisor/channel_caller.hpp"

#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "codec/span_json.hpp"
#include "supervisor/protocol.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::string_view kNobody = "nobody";

}  // namespace

Result<Caller::Word> ChannelCaller::hear() {
    SUB_TRY_ASSIGN(const auto message, channel_.receive());
    if (!message) return Word{.gone = true, .signal = 0};
    if (text_of(*message, "type") != message::kSignal) return fail({Errc::invalid, "unexpected message"});
    return Word{.gone = false, .signal = static_cast<int>(number_of(*message, "signal"))};
}

// A caller that has gone is found out when it is listened to.
void ChannelCaller::take_terminal(sys::UniqueFd master) {
    const int fd = master.get();
    (void)channel_.send({{"type", message::kTerminal}}, {&fd, 1});
}

Result<> ChannelCaller::tell_ended(int exit) {
    return channel_.send({{"type", message::kEnded}, {"exit", exit}});
}

Result<OutputRecord> ChannelCaller::take_output() {
    if (!output_) {
        SUB_TRY_ASSIGN(output_, receive(message::kOutput));
    }
    return output_from_json(*output_);
}

Result<bool> ChannelCaller::can_ask() {
    SUB_TRY_ASSIGN(const Json answer, approval({{"type", message::kAskApproval}}));
    return text_of(answer, "answer") != kNobody;
}

Result<std::optional<broker::Answer>> ChannelCaller::ask_approval(const broker::ApprovalQuestion& question) {
    SUB_TRY_ASSIGN(const Json answer,
                   approval({{"type", message::kAskApproval}, {"question", to_json(question)}}));
    const std::string word = text_of(answer, "answer");
    if (word == kNobody) return std::optional<broker::Answer>();
    // What is not understood is no consent.
    return broker::parse_answer(word).value_or(broker::Answer::deny);
}

Result<bool> ChannelCaller::ask_commit(const FsDiff& diff) {
    SUB_TRY(channel_.send({{"type", message::kAskCommit}, {"fs_diff", to_json(diff)}}));
    SUB_TRY_ASSIGN(const Json answer, receive(message::kCommit));
    return flag_of(answer, "now");
}

void ChannelCaller::conclude(const ExecResult& result) {
    agent_.count_command(result.span.warm);
    Json done = {{"type", message::kDone},
                 {"exit", result.span.exit},
                 {"span_id", result.span.span_id},
                 {"notices", result.notices}};
    for (const std::string& path : result.changed_paths) done["changed_paths"].push_back(escape_bytes(path));
    if (want_span_) done["span"] = to_json(result.span);
    // A caller that has gone needs no answer.
    (void)channel_.send(done);
}

Result<Json> ChannelCaller::approval(const Json& question) {
    SUB_TRY(channel_.send(question));
    return receive(message::kApproval);
}

// The next message of this type. The output may come before an answer; signals on
// their way have missed their command.
Result<Json> ChannelCaller::receive(std::string_view expected) {
    for (;;) {
        SUB_TRY_ASSIGN(auto message, channel_.receive());
        if (!message) return fail({Errc::unavailable, "the client has gone"});
        const std::string type = text_of(*message, "type");
        if (type == expected) return std::move(*message);
        if (type == message::kOutput) output_ = std::move(*message);
        else if (type != message::kSignal) return fail({Errc::invalid, "unexpected message"});
    }
}

}  // namespace substrate::supervisor
