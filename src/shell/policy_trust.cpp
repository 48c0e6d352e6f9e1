#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "base/text.hpp"
#include "broker/loader.hpp"
#include "broker/trust.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "shell/policy_loosening.hpp"
#include "supervisor/home.hpp"
#include "sys/file.hpp"

namespace substrate::shell {
namespace {

using broker::LayerRole;

// What a person is asked about.
struct Offer {
    broker::TrustRecord record;
    bool already = false;
    std::vector<std::string> loosens;
};

// Each line safe to print and marked, so that no content can pass for one of our lines.
std::string quoted_text(const std::string& text) {
    std::string made;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        made += "  | " + printable(std::string_view(text).substr(at, end - at)) + "\n";
        at = end + 1;
    }
    return made.empty() ? "  | (empty)\n" : made;
}

std::string contents_text(const broker::TrustRecord& record) {
    std::string text;
    const std::string base = printable(record.directory == "/" ? "" : record.directory) + "/";
    if (record.texts.profile)
        text += base + broker::kProfileFile + ":\n" + quoted_text(*record.texts.profile);
    if (record.texts.policy)
        text += base + broker::kProjectPolicyFile + ":\n" + quoted_text(*record.texts.policy);
    return text;
}

// What holds now and would not any more: the layers under an untrusted choice go, and of a
// directory that has both files the policy alone stays.
Result<std::vector<std::string>> loosening_of(const broker::PolicySet& now, const broker::Choice& choice) {
    const bool whole = choice.texts.policy.has_value();
    const auto named =
        choice.texts.profile ? broker::profile_in(*choice.texts.profile) : fail({Errc::not_found, {}});
    const broker::Layer* chosen = nullptr;
    for (const broker::Layer& layer : now.layers()) {
        if (layer.role == LayerRole::managed) continue;
        const bool fits =
            whole ? layer.file.ends_with(broker::kProjectPolicyFile) : named && layer.policy.id == *named;
        // What is chosen stands once, also where it is the default itself.
        if (fits && (chosen == nullptr || layer.role == LayerRole::chosen)) chosen = &layer;
    }
    if (chosen == nullptr) return fail({Errc::internal, "the set has no chosen policy"});
    std::vector<std::string> lines;
    for (const broker::Layer& layer : now.layers()) {
        if (layer.role == LayerRole::managed || &layer == chosen) continue;
        for (const std::string& line : loosened(layer.policy, chosen->policy))
            lines.push_back(line + " (until now by " + layer.policy.id + ")");
    }
    return lines;
}

Result<Offer> offer_for(const Console& console, const PolicyGround& ground) {
    const broker::Loaded loaded = broker::load_policies(ground.places, ground.cwd, ground.project);
    for (const broker::LoadProblem& problem : loaded.problems) console.note(problem_text(problem));
    if (!loaded.set)
        return fail(Error(Errc::invalid, "nothing was trusted: the policy is broken")
                        .hint("mend it: substrate policy validate FILE"));
    const broker::Choice& choice = loaded.choice;
    if (choice.texts.empty() || choice.directory != ground.cwd) {
        const bool above = !choice.texts.empty();
        return fail(Error(Errc::not_found, "'" + printable(ground.cwd) + "' has neither " +
                                               broker::kProfileFile + " nor " + broker::kProjectPolicyFile)
                        .hint(above ? "substrate policy trust " + shell_join({choice.directory})
                                    : std::string("put one there first")));
    }
    Offer offer{.record = {.directory = choice.directory,
                           .texts = choice.texts,
                           .hash = choice.texts.hash(),
                           .at_ns = console.env.realtime_ns()},
                .already = choice.trusted,
                .loosens = {}};
    if (!offer.already) {
        SUB_TRY_ASSIGN(offer.loosens, loosening_of(*loaded.set, choice));
    }
    return offer;
}

// True for "yes", typed in full.
Result<bool> ask_person(const std::string& question) {
    const sys::UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal)
        return fail(Error(Errc::denied, "there is no terminal to ask on, so nothing was trusted")
                        .hint("--yes, when a person has read what is above"));
    SUB_TRY(sys::write_all(terminal.get(), question));
    std::array<char, 64> answer{};
    SUB_TRY_ASSIGN(const std::size_t size, sys::read_some(terminal.get(), answer));
    std::string_view text(answer.data(), size);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
        text.remove_suffix(1);
    return text == "yes";
}

Json record_json(const broker::TrustRecord& record) {
    Json json = {
        {"hash", record.hash}, {"at", format_utc(record.at_ns)}, {"profile", nullptr}, {"policy", nullptr}};
    put_bytes(json, "directory", record.directory);
    if (record.texts.profile) put_bytes(json, "profile", *record.texts.profile);
    if (record.texts.policy) put_bytes(json, "policy", *record.texts.policy);
    return json;
}

int list_trusted(const Console& console, const PolicyGround& ground, bool json) {
    const auto records = broker::load_trust(ground.places);
    if (!records) return console.fail_with(records.error());
    Json all = Json::array();
    for (const auto& [directory, record] : *records) {
        if (json) all.push_back(record_json(record));
        else
            console.out(fmt::format("{}  {}  {}\n", format_utc(record.at_ns).substr(0, 19),
                                    record.hash.substr(0, 12), printable(directory)));
    }
    if (json) console.out(dump_json_pretty(all) + "\n");
    else if (records->empty()) console.note("no directory is trusted");
    return 0;
}

int revoke_trust(const Console& console, const PolicyGround& ground, bool json) {
    const auto removed = broker::remove_trust(ground.places, ground.cwd);
    if (!removed) return console.fail_with(removed.error());
    if (json) {
        Json report = {{"revoked", *removed}};
        put_bytes(report, "directory", ground.cwd);
        console.out(dump_json_pretty(report) + "\n");
    } else if (*removed) {
        console.out(printable(ground.cwd) + " is no longer trusted\n");
    }
    if (*removed) return 0;
    return console.fail_with(Error(Errc::not_found, "'" + printable(ground.cwd) + "' was not trusted")
                                 .hint("substrate policy trust --list"));
}

int add_trust(const Console& console, const PolicyGround& ground, const PolicyTrustOptions& options) {
    const auto offer = offer_for(console, ground);
    if (!offer) return console.fail_with(offer.error());
    const std::string name = printable(offer->record.directory);
    if (!options.json) {
        std::string text = contents_text(offer->record);
        if (offer->already) text += name + " is trusted with this content already\n";
        else if (offer->loosens.empty()) text += "Trusting it loosens nothing.\n";
        else text += "Trusting it loosens what holds here now:\n";
        for (const std::string& line : offer->loosens) text += "  " + line + "\n";
        console.out(text);
    }
    if (!offer->already) {
        if (!options.yes) {
            const auto answer = ask_person("Trust " + name + " with exactly this content? [yes/no] ");
            if (!answer) return console.fail_with(answer.error());
            if (!*answer) return console.fail_with({Errc::denied, "nothing was trusted"});
        }
        if (const auto made = supervisor::create_home(console.home); !made)
            return console.fail_with(made.error());
        if (const auto kept = broker::add_trust(ground.places, offer->record); !kept)
            return console.fail_with(kept.error());
        if (!options.json) console.out(name + " is trusted\n");
    }
    if (options.json) {
        Json json = record_json(offer->record);
        json["already"] = offer->already;
        json["loosens"] = offer->loosens;
        console.out(dump_json_pretty(json) + "\n");
    }
    return 0;
}

}  // namespace

int policy_trust(const Console& console, const PolicyTrustOptions& options) {
    // The barrier is that no world can reach the state directory; this is for a clear word.
    if (console.env.variable("SUBSTRATE_WORLD_ID") && !options.list)
        return console.fail_with(
            Error(Errc::safety, "trust cannot be given or taken inside a world").hint("run it on the host"));
    const auto ground = policy_ground(console, options.directory);
    if (!ground) return console.fail_with(ground.error());
    if (options.list) return list_trusted(console, *ground, options.json);
    if (options.revoke) return revoke_trust(console, *ground, options.json);
    return add_trust(console, *ground, options);
}

}  // namespace substrate::shell
