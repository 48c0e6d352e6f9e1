#include "agent/approvals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/digest.hpp"
#include "codec/time_text.hpp"
#include "sys/file.hpp"

namespace substrate::agent {
namespace {

constexpr std::int64_t kDecisionMs = 300'000;  // where the policy sets no limit

}  // namespace

Json printable_question(const broker::ApprovalQuestion& question) {
    const Json sent = broker::to_json(question);  // cut as for a terminal
    Json json = {{"command", printable(question.command)},
                 {"reason", printable(question.reason)},
                 {"rule", printable(question.rule)},
                 {"pattern", printable(question.pattern)},
                 {"policy_id", question.policy_id},
                 {"parts", Json::array()},
                 {"impact", Json::array()},
                 {"decisions", {"once", "deny"}}};
    for (const char* list : {"parts", "impact"})
        if (const auto it = sent.find(list); it != sent.end() && it->is_array())
            for (const Json& item : *it)
                if (item.is_string()) json[list].push_back(printable(item.get_ref<const std::string&>()));
    if (question.can_be_kept()) {
        json["scope"] = {{"directory", printable(question.directory)},
                         {"pattern", printable(question.scope_pattern)}};
        json["decisions"] = {"once", "session", "always", "deny"};
    }
    return json;
}

Result<std::string> make_secret(const Env& env, const std::string& secret_file) {
    std::array<std::uint8_t, 32> bytes{};
    env.random(bytes);
    std::string secret;
    for (const std::uint8_t byte : bytes) secret += fmt::format("{:02x}", byte);
    SUB_TRY(sys::replace_file(secret_file, secret + "\n", 0600));
    return secret;
}

std::optional<std::string> Approvals::ask(const broker::ApprovalQuestion& question, Asked asked) {
    const std::scoped_lock lock(mutex_);
    if (closed_ || waiting_.size() >= kMost) return std::nullopt;
    std::string id = make_id(env_, "ask");
    waiting_.emplace(id, Entry{question, std::move(asked), env_.realtime_ns(), std::nullopt});
    return id;
}

std::optional<broker::Answer> Approvals::take(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end() || !it->second.answer) return std::nullopt;
    const broker::Answer answer = *it->second.answer;
    waiting_.erase(it);
    return answer;
}

std::optional<broker::Answer> Approvals::await(const std::string& id,
                                               const broker::ApprovalQuestion& question,
                                               std::optional<std::int64_t> most_ns,
                                               const std::function<bool(int)>& pause) {
    using std::chrono::milliseconds;
    std::int64_t left_ms = question.timeout_ms > 0 ? question.timeout_ms : kDecisionMs;
    if (most_ns) left_ms = std::min(left_ms, std::max<std::int64_t>(*most_ns / 1'000'000, 0));
    const auto deadline = std::chrono::steady_clock::now() + milliseconds(left_ms);
    std::optional<broker::Answer> answer;
    while (!(answer = take(id)) && !closed()) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !pause(static_cast<int>(std::min<std::int64_t>(left.count(), INT_MAX))))
            break;
    }
    withdraw(id);
    return answer;
}

void Approvals::withdraw(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    waiting_.erase(id);
}

void Approvals::close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    for (auto& [id, entry] : waiting_) entry.asked.wake();
}

bool Approvals::closed() const {
    const std::scoped_lock lock(mutex_);
    return closed_;
}

Json Approvals::list() const {
    const std::scoped_lock lock(mutex_);
    Json all = Json::array();
    for (const auto& [id, entry] : waiting_) {
        if (entry.answer) continue;
        Json one = printable_question(entry.question);
        one["approval_id"] = id;
        one["agent_id"] = printable(entry.asked.agent_id);
        one["span_id"] = entry.asked.span_id;
        one["since"] = format_rfc3339(entry.since_ns);
        all.push_back(std::move(one));
    }
    return {{"approvals", std::move(all)}};
}

Result<> Approvals::decide(const std::string& id, broker::Answer answer, const std::string& secret) {
    if (!same_secret(secret, secret_))
        return fail(Error(Errc::denied, "only who can read the approval token may decide")
                        .hint("it is in the agent's state directory, and no world can see it"));
    const std::scoped_lock lock(mutex_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end() || it->second.answer)
        return fail({Errc::not_found, "nothing with the id " + printable(id) + " waits for a decision"});
    const bool keeps = answer == broker::Answer::session || answer == broker::Answer::always;
    if (keeps && !it->second.question.can_be_kept())
        return fail({Errc::invalid, "this can be allowed once only"});
    it->second.answer = answer;
    it->second.asked.wake();
    return {};
}

}  // namespace substrate::agent
