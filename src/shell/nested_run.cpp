#include "shell/nested_run.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <map>

#include "base/text.hpp"
#include "base/trace_context.hpp"
#include "codec/fs_diff_json.hpp"
#include "model/exit_codes.hpp"
#include "model/scope_token.hpp"
#include "plan/command.hpp"
#include "plan/world_plan.hpp"
#include "shell/local_run.hpp"
#include "supervisor/channel.hpp"
#include "supervisor/nested_protocol.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/scope_tokens.hpp"
#include "sys/socket.hpp"

namespace substrate::shell {
namespace {

using supervisor::Channel;

constexpr int kAnswerMs = 15'000;

Error no_answer(Error why) {
    return std::move(why)
        .as(Errc::unavailable)
        .during("asking outside of this world whether the command may run")
        .hint("it was not run");
}

Result<Json> receive(Channel& channel) {
    auto reply = channel.receive();
    if (!reply && reply.error().os_errno() == EAGAIN)
        return fail(no_answer({Errc::unavailable, "no answer in 15 seconds"}));
    if (!reply) return fail(no_answer(std::move(reply).error()));
    if (!*reply) return fail(no_answer({Errc::unavailable, "nobody answered"}));
    if (supervisor::text_of(**reply, "type") == supervisor::message::kError)
        return fail(supervisor::error_from_json(**reply));
    return std::move(**reply);
}

// Ours, without what would run besides the command, and with what was asked for.
std::vector<std::string> environment_of(const Console& console, const ExecRequest& request,
                                        const std::string& span_id) {
    std::map<std::string, std::string, std::less<>> variables;
    for (const std::string& variable : console.environment) {
        const auto equals = variable.find('=');
        if (equals == std::string::npos || plan::runs_code(variable.substr(0, equals))) continue;
        // It keeps three descriptors, and has a span of its own.
        if (variable.substr(0, equals) == kScopeVariable) continue;
        variables.insert_or_assign(variable.substr(0, equals), variable.substr(equals + 1));
    }
    for (const auto& [name, value] : request.env) variables.insert_or_assign(name, value);
    variables.insert_or_assign("SUBSTRATE_SPAN_ID", span_id);
    if (!request.traceparent.empty())
        variables.insert_or_assign("TRACEPARENT", traceparent_of_span(request.traceparent, span_id));
    std::vector<std::string> environment;
    for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
    return environment;
}

// What the command that the world runs was given, where we have it still. Whether it is good is not ours to
// say.
std::string scope_token(const Console& console) {
    const auto number = console.env.variable(kScopeVariable);
    int fd = -1;
    if (!number) return {};
    const auto [end, bad] = std::from_chars(number->data(), number->data() + number->size(), fd);
    if (bad != std::errc() || end != number->data() + number->size() || fd <= STDERR_FILENO) return {};
    struct ::stat st{};
    if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return {};
    // Others read it as well: each from its beginning.
    std::string text(supervisor::ScopeTokens::kMost + 1, '\0');
    const ::ssize_t size = ::pread(fd, text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
}

LocalCommand command_of(const Console& console, const ExecRequest& request, const std::string& span_id) {
    const std::string shell = request.shell.substr(request.shell.rfind('/') + 1);
    LocalCommand command{.program = request.shell,
                         .argv = {shell, "-c", request.cmd},
                         .environment = environment_of(console, request, span_id),
                         .cwd = request.cwd,
                         .timeout_ms = request.timeout_ms};
    if (request.argv.empty()) return command;
    // The shell looks it up, and says what is wrong with a program that cannot be executed.
    command.argv = {shell, "-c", "exec \"$0\" \"$@\""};
    command.argv.insert(command.argv.end(), request.argv.begin(), request.argv.end());
    return command;
}

// What is recorded is over when this has been heard; that it was not changes nothing for the command.
void tell_end(Channel& channel, const LocalEnd& end, OutputWatch& watch) {
    supervisor::NestedEnd told{
        .exit = end.exit, .signal = end.signal, .timed_out = end.timed_out, .output = {}};
    if (auto output = watch.finish()) told.output = std::move(*output);
    if (channel.send(supervisor::to_json(told))) (void)channel.receive();
}

}  // namespace

bool inside_world() {
    struct ::stat st{};
    return ::lstat(plan::kDoorPath, &st) == 0 && S_ISSOCK(st.st_mode);
}

Error only_outside(const std::string& what) {
    return Error(Errc::unsupported, what + " is not for the inside of a world").hint("use it outside");
}

Result<ExecResult> run_nested(const Console& console, RunOptions options, bool on_host) {
    ExecRequest& request = options.request;
    if (on_host)
        return fail(Error(Errc::safety, "--no-world: a command inside a world cannot leave it")
                        .hint("run it outside of this world"));
    auto socket = sys::connect_stream(plan::kDoorPath, kAnswerMs);
    if (!socket) return fail(no_answer(std::move(socket).error()));
    Channel channel(std::move(*socket));
    // Whoever refuses the request may have closed before all of it was sent: its answer says why.
    request.scope_token = scope_token(console);
    const auto sent = channel.send(supervisor::to_nested_json(request));
    auto reply = receive(channel);
    if (!reply && !sent && reply.error().code() == Errc::unavailable) return fail(no_answer(sent.error()));
    SUB_TRY_ASSIGN(const Json judged, std::move(reply));
    if (supervisor::text_of(judged, "type") != supervisor::message::kDone || !judged.contains("denied"))
        return fail(no_answer({Errc::unavailable, "the answer is none"}));
    ExecResult result;
    result.span.span_id = supervisor::text_of(judged, "span_id");
    for (const std::string& notice : supervisor::texts_of(judged, "notices"))
        result.notices.push_back(unescape_bytes(notice));
    if (supervisor::flag_of(judged, "denied")) {
        result.span.outcome = Outcome::denied;
        result.span.exit = to_int(ExitCode::denied);
        return result;
    }
    request.timeout_ms = supervisor::number_of(judged, "timeout_ms");
    SUB_TRY_ASSIGN(OutputWatch watch, OutputWatch::make(options.terminals, options.merge_output));
    SUB_TRY_ASSIGN(const LocalEnd end,
                   run_locally(console.env, command_of(console, request, result.span.span_id), &watch));
    tell_end(channel, end, watch);
    if (auto relayed = relay_leftovers(watch); !relayed) console.complain(relayed.error());
    result.span.exit = end.exit;
    return result;
}

}  // namespace substrate::shell
