#include "base/ids.hpp"
#include "base/text.hpp"
#include "broker/policy_reader.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "shell/policy_suggest.hpp"
#include "shell/recorded_command.hpp"

namespace substrate::shell {

int policy_suggest(const Console& console, const PolicySuggestOptions& options) {
    if (!is_id(options.session, "ses"))
        return console.fail_with(Error(Errc::invalid, "'" + options.session + "' is not a session id")
                                     .hint("substrate trace --last shows the newest span's"));
    if (!broker::is_policy_id(options.id))
        return console.fail_with(Error(Errc::invalid, "'" + options.id + "' cannot name a policy")
                                     .hint("use up to 64 of a-z, 0-9 and -"));
    const auto ground = policy_ground(console, "/");
    if (!ground) return console.fail_with(ground.error());
    std::vector<Span> spans;
    const auto read = each_recorded_span(
        console,
        {.session_id = options.session, .agent_id = {}, .outcome = {}, .event_type = {}, .since_ns = {}},
        [&](Span&& span) { spans.push_back(std::move(span)); });
    if (!read) return console.fail_with(read.error());
    const auto suggestion =
        suggest_policy(spans, {.id = options.id, .session = options.session, .home = ground->places.home});
    if (!suggestion) return console.fail_with(suggestion.error());
    for (const std::string& line : suggestion->left_out) console.note("not covered: " + line);
    console.out(suggestion->yaml);
    return 0;
}

}  // namespace substrate::shell
