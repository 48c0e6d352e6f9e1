#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "broker/approval_question.hpp"
#include "broker/broker.hpp"
#include "model/exec.hpp"
#include "supervisor/session_world.hpp"
#include "trace/writer.hpp"

// The one door to every execution: what the policies say of a request, and what is left of
// it afterwards.
namespace substrate::supervisor {

// Asks the person behind a request; nullopt: there is nobody to ask.
class Asker {
  public:
    virtual ~Asker() = default;
    // Whether there is somebody to ask, as far as can be told now.
    virtual Result<bool> can_ask() = 0;
    virtual Result<std::optional<broker::Answer>> ask_approval(const broker::ApprovalQuestion& question) = 0;
    // What it means that there is no answer.
    virtual const char* silence() const { return "there is no terminal to ask on"; }
};

// Where the command would run; nested: in a world that is there already, beside the command that it runs.
// Of a nested request `ephemeral` and `commit` are those of the command that the world runs.
enum class Where : std::uint8_t { world, host, nested };

struct Passage {
    ExecRequest request;  // tightened: nothing in it is looser than what was asked for
    bool denied = false;
    // Whether its change is brought to the host is asked when it is known: the command runs
    // in a closed world first.
    std::optional<broker::ApprovalQuestion> preview;
    // For the span.
    std::string policy_id, policy_hash;
    PolicyDecision decision;
    bool would_deny = false;
    std::vector<std::string> notices;
    broker::Judgement judgement;
};

// What is asked of the broker about a request.
broker::Question question_of(const ExecRequest& request, const std::string& project,
                             const std::string& session);
// What the policies leave of a request that they let through. `preview`: the command runs in
// a closed world before anybody is asked.
ExecRequest tightened(ExecRequest request, const broker::Judgement& judgement,
                      const policy::PatternValues& ground, bool preview);

// Judges `request`, asks where something is to be asked, records violations and answers.
// An error means that it must not run, as a denial does.
Result<Passage> pass_gate(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker,
                          const std::string& project, const std::string& session, const ExecRequest& request,
                          Where where, const std::string& span_id, Asker& asker);

// The answer to what was asked: keeps it and records it. What a person must know when it could
// not be kept; else empty.
std::string note_answer(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker,
                        const Passage& passage, const std::string& session, const std::string& span_id,
                        std::optional<broker::Answer> answer);

// What a span says of the policies.
void fill_decision(Span& span, const Passage& passage);
// An outcome of `would_deny`, where nothing graver happened.
void note_observed(Span& span, const Passage& passage);
// The span of a command that never ran.
Span denied_span(const Machine& machine, const std::string& project, const std::string& session,
                 const Passage& passage, const std::string& span_id);

// Writes that span. What a person must know when it could not be is among the notices.
ExecResult record_denial(const Machine& machine, trace::TraceWriter& trace, const std::string& project,
                         const std::string& session, const Passage& passage, const std::string& span_id);

// Records what was read anew since the last call, and returns it.
std::vector<broker::Reload> trace_reloads(const Machine& machine, trace::TraceWriter& trace,
                                          broker::Broker& broker);

}  // namespace substrate::supervisor
