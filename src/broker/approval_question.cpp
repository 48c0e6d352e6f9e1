#include "broker/approval_question.hpp"

#include <fmt/format.h>

#include "broker/approvals.hpp"
#include "codec/object_reader.hpp"

namespace substrate::broker {
namespace {

std::string cut(const std::string& text) {
    if (text.size() <= kMaxSentText) return text;
    std::size_t end = kMaxSentText;
    while (end > kMaxSentText - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    return text.substr(0, end) + fmt::format(" [{} more bytes]", text.size() - end);
}

std::vector<std::string> first_of(const std::vector<std::string>& list, std::size_t most) {
    std::vector<std::string> out;
    for (const std::string& text : list) {
        if (out.size() == most) break;
        out.push_back(cut(text));
    }
    return out;
}

}  // namespace

bool ApprovalQuestion::can_be_kept() const {
    return !scope_pattern.empty() && scope_pattern.size() <= kMaxPatternBytes;
}

Json to_json(const ApprovalQuestion& question) {
    Json out = Json::object();
    put_bytes(out, "command", question.command);
    const std::vector<std::string> parts = first_of(question.parts, kMaxSentParts);
    put_bytes(out, "parts", parts);
    out["more_parts"] = question.more_parts + (question.parts.size() - parts.size());
    put_bytes(out, "reason", cut(question.reason));
    put_bytes(out, "rule", cut(question.rule));
    put_bytes(out, "pattern", cut(question.pattern));
    put_bytes(out, "policy_id", question.policy_id);
    put_bytes(out, "directory", question.directory);
    if (question.can_be_kept()) put_bytes(out, "scope_pattern", question.scope_pattern);
    std::vector<std::string> impact = first_of(question.impact, kMaxSentImpact);
    if (impact.size() < question.impact.size())
        impact.push_back(fmt::format("[{} more lines]", question.impact.size() - impact.size()));
    put_bytes(out, "impact", impact);
    out["timeout_ms"] = question.timeout_ms;
    return out;
}

Result<ApprovalQuestion> approval_question_from_json(const Json& value) {
    ApprovalQuestion question;
    ObjectReader reader(value);
    for (const char* key : {"command", "policy_id", "directory"}) reader.require(key);
    reader.bytes("command", question.command);
    reader.bytes("parts", question.parts);
    reader.integer("more_parts", question.more_parts);
    reader.bytes("reason", question.reason);
    reader.bytes("rule", question.rule);
    reader.bytes("pattern", question.pattern);
    reader.bytes("policy_id", question.policy_id);
    reader.bytes("directory", question.directory);
    reader.bytes("scope_pattern", question.scope_pattern);
    reader.bytes("impact", question.impact);
    reader.integer("timeout_ms", question.timeout_ms);
    if (question.timeout_ms < 0) reader.problem("timeout_ms", "is negative");
    SUB_TRY_DURING(reader.finish(), "reading a question");
    return question;
}

}  // namespace substrate::broker
