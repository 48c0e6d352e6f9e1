#include "trace/record.hpp"

#include <map>
#include <string>
#include <vector>

#include "codec/span_json.hpp"
#include "trace/redact.hpp"
#include "trace/secret_names.hpp"

namespace substrate::trace {
namespace {

// Few records hold a secret, so a field is stored a second time only then.
template <class T>
void replace_if_changed(Json& object, std::string_view key, const T& raw, const T& safe) {
    if (safe == raw) return;
    object.erase(std::string(key));
    object.erase(std::string(key) + "_escaped");
    put_bytes(object, key, safe);
}

void replace_text(Json& object, std::string_view key, const std::string& raw) {
    replace_if_changed(object, key, raw, redact(raw));
}

void replace_variables(Json& object, std::string_view key, const std::map<std::string, std::string>& env) {
    std::map<std::string, std::string> changed;
    for (const auto& [name, value] : env)
        if (std::string safe = redact_variable(name, value); safe != value)
            changed.emplace(name, std::move(safe));
    if (changed.empty()) return;
    changed.insert(env.begin(), env.end());  // keeps what is there already
    replace_if_changed(object, key, env, changed);
}

void redact_text(Json& value) {
    auto& text = value.get_ref<std::string&>();
    text = redact(text);
}

void redact_arguments(Json& list) {
    std::vector<std::string> argv;
    for (const Json& item : list) argv.push_back(item.is_string() ? item.get<std::string>() : std::string());
    argv = redact_argv(argv);
    for (std::size_t i = 0; i < argv.size(); ++i)
        if (list[i].is_string()) list[i] = std::move(argv[i]);
}

// `name` is the key under which the value stands. The fields of an event are
// ours and shallow, so recursion is bounded by who builds them.
void redact_value(std::string_view name, Json& value) {
    if (value.is_string()) {
        auto& text = value.get_ref<std::string&>();
        text = redact_variable(name, text);
    } else if (value.is_object()) {
        for (auto it = value.begin(); it != value.end(); ++it) redact_value(it.key(), it.value());
    } else if (value.is_array() && name == "argv") {
        redact_arguments(value);
    } else if (value.is_array()) {
        for (Json& item : value) {
            if (item.is_string()) redact_text(item);
            else redact_value({}, item);
        }
    }
}

}  // namespace

bool Record::is_span() const {
    const auto type = json_.find("event_type");
    return type != json_.end() && *type == event_type::kCommandComplete;
}

Record prepare(const Span& span) { return finish(begin(span), span); }

Record finish(SpanDraft draft, const Span& span) {
    put_ending(draft.json_, span);
    return Record(std::move(draft.json_));
}

SpanDraft begin(const Span& span) {
    Json object = beginning_json(span);
    replace_text(object, "cmd", span.cmd);
    if (!span.argv.empty()) replace_if_changed(object, "argv", span.argv, redact_argv(span.argv));
    Json& decision = object["policy_decision"];
    replace_text(decision, "pattern", span.decision.pattern);
    replace_text(decision, "reason", span.decision.reason);
    Json& replay = object["replay_context"];
    replace_variables(replay, "env", span.replay.env);
    if (!span.replay.argv.empty())
        replace_if_changed(replay, "argv", span.replay.argv, redact_argv(span.replay.argv));
    return SpanDraft(std::move(object));
}

Record prepare(const Event& event) {
    Json object = to_json(event);
    redact_value({}, object);
    return Record(std::move(object));
}

}  // namespace substrate::trace
