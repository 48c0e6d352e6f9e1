#include "supervisor/protocol.hpp"

#include <algorithm>
#include <array>

#include "base/trace_context.hpp"

namespace substrate::supervisor {

std::string text_of(const Json& json, const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get_ref<const std::string&>() : std::string();
}

std::int64_t number_of(const Json& json, const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_number_integer() ? it->get<std::int64_t>() : 0;
}

bool flag_of(const Json& json, const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_boolean() && it->get<bool>();
}

std::vector<std::string> texts_of(const Json& json, const char* key) {
    std::vector<std::string> texts;
    const auto it = json.find(key);
    if (it == json.end() || !it->is_array()) return texts;
    for (const Json& item : *it)
        if (item.is_string()) texts.push_back(item.get_ref<const std::string&>());
    return texts;
}

Json to_json(const ExecRequest& request) {
    Json json = {{"cmd", request.cmd},
                 {"argv", request.argv},
                 {"cwd", request.cwd},
                 {"env", request.env},
                 {"env_hash", request.env_hash},
                 {"umask", request.umask},
                 {"shell", request.shell},
                 {"login_shell", request.login_shell},
                 {"ephemeral", request.ephemeral},
                 {"commit", to_string(request.commit)},
                 {"host_network", request.host_network},
                 {"timeout_ms", request.timeout_ms},
                 {"session_id", request.session_id},
                 {"parent_span", request.parent_span},
                 {"agent_id", request.agent_id},
                 {"as_of_ns", request.as_of_ns},
                 {"observes_output", request.observes_output}};
    if (!request.traceparent.empty()) json["traceparent"] = request.traceparent;
    if (request.capture) json["capture"] = to_string(*request.capture);
    if (request.terminal)
        json["terminal"] = {{"columns", request.terminal->columns},
                            {"rows", request.terminal->rows},
                            {"streams", request.terminal->streams}};
    return json;
}

namespace {

// What is run must be what was asked for, so nothing is left out.
Result<> require_texts(const Json& json) {
    const auto is_text = [](const Json& value) { return value.is_string(); };
    const auto argv = json.find("argv");
    if (argv != json.end() && !(argv->is_array() && std::ranges::all_of(*argv, is_text)))
        return fail({Errc::invalid, "an argument is no text"});
    const auto env = json.find("env");
    if (env != json.end() && !(env->is_object() && std::ranges::all_of(*env, is_text)))
        return fail({Errc::invalid, "an environment variable is no text"});
    return {};
}

// One that takes the place of at least one of the three descriptors.
Result<TerminalSize> terminal_from_json(const Json& json) {
    const auto number = [&](const char* key, std::int64_t most) {
        const std::int64_t value = json.is_object() ? number_of(json, key) : 0;
        return value >= 1 && value <= most ? value : 0;
    };
    const TerminalSize terminal{.columns = static_cast<std::uint16_t>(number("columns", 0xffff)),
                                .rows = static_cast<std::uint16_t>(number("rows", 0xffff)),
                                .streams = static_cast<std::uint8_t>(number("streams", 7))};
    if (terminal.columns == 0 || terminal.rows == 0 || terminal.streams == 0)
        return fail({Errc::invalid, "a terminal of no size, or in the place of no stream"});
    return terminal;
}

}  // namespace

Result<ExecRequest> exec_request_from_json(const Json& json) {
    SUB_TRY(require_texts(json));
    ExecRequest request;
    request.cmd = text_of(json, "cmd");
    request.argv = texts_of(json, "argv");
    request.cwd = text_of(json, "cwd");
    if (const auto env = json.find("env"); env != json.end() && env->is_object())
        for (const auto& [name, value] : env->items())
            if (value.is_string()) request.env.emplace(name, value.get_ref<const std::string&>());
    request.env_hash = text_of(json, "env_hash");
    if (json.contains("umask")) request.umask = static_cast<std::uint32_t>(number_of(json, "umask")) & 0777;
    request.shell = text_of(json, "shell");
    request.login_shell = flag_of(json, "login_shell");
    request.ephemeral = flag_of(json, "ephemeral");
    request.host_network = flag_of(json, "host_network");
    request.timeout_ms = number_of(json, "timeout_ms");
    request.session_id = text_of(json, "session_id");
    request.parent_span = text_of(json, "parent_span");
    // What is none is left out, as if it had not been said.
    request.traceparent = read_traceparent(text_of(json, "traceparent")).value_or("");
    if (json.contains("agent_id")) request.agent_id = text_of(json, "agent_id");
    request.as_of_ns = number_of(json, "as_of_ns");
    request.observes_output = flag_of(json, "observes_output");
    const auto commit = parse_commit_mode(text_of(json, "commit"));
    if (!commit) return fail({Errc::invalid, "unknown commit mode"});
    request.commit = *commit;
    if (json.contains("capture")) {
        request.capture = parse_capture_strategy(text_of(json, "capture"));
        if (!request.capture) return fail({Errc::invalid, "unknown capture strategy"});
    }
    if (const auto terminal = json.find("terminal"); terminal != json.end()) {
        SUB_TRY_ASSIGN(request.terminal, terminal_from_json(*terminal));
    }
    if (request.cwd.empty() || request.cwd.front() != '/')
        return fail({Errc::invalid, "cwd is not an absolute path"});
    if (request.cmd.empty() && request.argv.empty()) return fail({Errc::invalid, "there is no command"});
    if (request.shell.empty() || request.shell.front() != '/')
        return fail({Errc::invalid, "the shell is not an absolute path"});
    for (const std::string& argument : request.argv)
        if (argument.contains('\0')) return fail({Errc::invalid, "a NUL byte in an argument"});
    for (const auto& [name, value] : request.env)
        if (name.empty() || name.contains('=') || name.contains('\0') || value.contains('\0'))
            return fail({Errc::invalid, "an environment variable that no process can have"});
    for (const auto* text : {&request.cmd, &request.cwd, &request.shell})
        if (text->contains('\0')) return fail({Errc::invalid, "a NUL byte in the request"});
    return request;
}

Json to_json(const OutputRecord& output) {
    return {{"stdout_hash", output.stdout_hash},
            {"stderr_hash", output.stderr_hash},
            {"stdout_bytes", output.stdout_bytes},
            {"stderr_bytes", output.stderr_bytes},
            {"merged", output.merged}};
}

OutputRecord output_from_json(const Json& json) {
    return {.stdout_hash = text_of(json, "stdout_hash"),
            .stderr_hash = text_of(json, "stderr_hash"),
            .stdout_bytes = static_cast<std::uint64_t>(number_of(json, "stdout_bytes")),
            .stderr_bytes = static_cast<std::uint64_t>(number_of(json, "stderr_bytes")),
            .merged = flag_of(json, "merged")};
}

Json to_json(const Error& error) {
    return {{"type", message::kError},
            {"code", to_string(error.code())},
            {"message", error.message()},
            {"hint", error.advice()}};
}

Error error_from_json(const Json& json) {
    Errc code = Errc::internal;
    const std::string name = text_of(json, "code");
    for (const Errc known :
         std::array{Errc::invalid, Errc::not_found, Errc::denied, Errc::conflict, Errc::unsupported,
                    Errc::unavailable, Errc::safety, Errc::os, Errc::internal})
        if (name == to_string(known)) code = known;
    return Error(code, text_of(json, "message")).hint(text_of(json, "hint"));
}

}  // namespace substrate::supervisor
