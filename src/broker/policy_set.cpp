#include "broker/policy_set.hpp"

#include <algorithm>

#include "base/path_pattern.hpp"
#include "codec/digest.hpp"
#include "policy/net_access.hpp"

namespace substrate::broker {
namespace {

// 0 is "no limit" in both.
// The lower limit; 0 is none.
template <class T>
T shorter(T a, T b) {
    if (a == 0 || b == 0) return std::max(a, b);
    return std::min(a, b);
}

// How much a decision holds back. A layer that only observes holds nothing back, but what
// it would have done is worth more on record than another's consent.
int weight(const Decision& decision) {
    const bool enforced = decision.mode == PolicyMode::enforce;
    switch (decision.action) {
        case DecisionAction::deny: return enforced ? 6 : 4;
        case DecisionAction::ask: return enforced ? 5 : 3;
        case DecisionAction::allow_with_restrictions: return enforced ? 2 : 1;
        case DecisionAction::allow: return 0;
    }
    return 0;
}

bool restricts(const Decision& decision, std::string_view what) {
    return std::ranges::find(decision.restrictions, what) != decision.restrictions.end();
}

std::string id_of(const std::vector<Layer>& layers) {
    const Layer* chosen = nullptr;
    const Layer* requested = nullptr;
    for (const Layer& layer : layers) {
        if (layer.role == LayerRole::chosen && chosen == nullptr) chosen = &layer;
        if (layer.role == LayerRole::requested) requested = &layer;
    }
    if (chosen == nullptr)
        chosen =
            &layers[requested == &layers.back() && layers.size() > 1 ? layers.size() - 2 : layers.size() - 1];
    std::string id = chosen->policy.id;
    if (requested != nullptr && requested != chosen) id += "+" + requested->policy.id;
    return id;
}

}  // namespace

const char* to_string(LayerRole role) {
    switch (role) {
        case LayerRole::managed: return "managed";
        case LayerRole::chosen: return "chosen";
        case LayerRole::floor: return "floor";
        case LayerRole::accepted: return "accepted";
        case LayerRole::requested: return "requested";
    }
    return "?";
}

Result<std::shared_ptr<const PolicySet>> PolicySet::make(std::vector<Layer> layers,
                                                         std::vector<std::string_view> compiled,
                                                         std::shared_ptr<const void> owner) {
    if (layers.empty() || layers.size() != compiled.size())
        return fail({Errc::internal, "a set of policies needs a compiled form for each layer"});
    auto set = std::make_shared<PolicySet>();
    std::string hashes;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        SUB_TRY_ASSIGN(policy::CompiledPolicy opened, policy::CompiledPolicy::open(compiled[i]));
        set->compiled_.push_back(opened);
        hashes += std::string(to_string(layers[i].role)) + ' ' + layers[i].policy.hash + '\n';
    }
    set->hash_ = layers.size() == 1 ? layers.front().policy.hash : "sha256:" + sha256_hex(hashes);
    set->id_ = id_of(layers);
    set->layers_ = std::move(layers);
    set->owner_ = std::move(owner);
    return set;
}

PolicyMode PolicySet::mode() const {
    const bool enforced = std::ranges::any_of(
        layers_, [](const Layer& layer) { return layer.policy.mode == PolicyMode::enforce; });
    return enforced ? PolicyMode::enforce : PolicyMode::observe;
}

CommitMode PolicySet::commit() const {
    CommitMode most = CommitMode::automatic;
    for (const Layer& layer : layers_) most = std::max(most, layer.policy.world.commit);
    return most;
}

bool PolicySet::reuse_session() const {
    return std::ranges::all_of(layers_, [](const Layer& layer) { return layer.policy.world.reuse_session; });
}

bool PolicySet::isolate_network() const {
    return std::ranges::any_of(layers_,
                               [](const Layer& layer) { return layer.policy.world.isolate_network; });
}

NetPath PolicySet::net_path() const {
    NetPath strictest = NetPath::veth;
    bool said = false;
    for (const Layer& layer : layers_) {
        // What binds the whole machine need not say how each project reaches something.
        const auto& own = layer.policy.net.mode;
        if (!own && layer.role == LayerRole::managed) continue;
        strictest = std::min(strictest, own.value_or(NetPath::gateway));
        said = true;
    }
    return said ? strictest : NetPath::gateway;
}

std::optional<std::vector<std::uint16_t>> PolicySet::tcp_ports() const {
    std::optional<std::vector<std::uint16_t>> ports;
    for (const Layer& layer : layers_) {
        auto own = policy::tcp_ports(layer.policy.net);
        if (!own) continue;
        if (ports)
            std::erase_if(*own,
                          [&](std::uint16_t port) { return !std::ranges::binary_search(*ports, port); });
        ports = std::move(own);
    }
    return ports;
}

// What binds the whole machine need not say what each project shows; all others must agree, so that a policy
// that nobody trusts opens nothing by itself.
std::vector<std::uint16_t> PolicySet::publish() const {
    const std::vector<std::uint16_t>* first = nullptr;
    for (const Layer& layer : layers_)
        if (layer.role != LayerRole::managed && first == nullptr) first = &layer.policy.world.publish;
    std::vector<std::uint16_t> ports = first != nullptr ? *first : std::vector<std::uint16_t>{};
    for (const Layer& layer : layers_)
        if (layer.role != LayerRole::managed)
            std::erase_if(ports, [&](std::uint16_t port) {
                return std::ranges::find(layer.policy.world.publish, port) ==
                       layer.policy.world.publish.end();
            });
    return ports;
}

WorldLimits PolicySet::limits() const {
    WorldLimits limits;
    for (const Layer& layer : layers_) {
        const WorldLimits& own = layer.policy.world.limits;
        limits.cpu_millis = shorter(limits.cpu_millis, own.cpu_millis);
        limits.memory_bytes = shorter(limits.memory_bytes, own.memory_bytes);
        limits.pids = shorter(limits.pids, own.pids);
        limits.runtime_ms = shorter(limits.runtime_ms, own.runtime_ms);
        limits.io.read_bps = shorter(limits.io.read_bps, own.io.read_bps);
        limits.io.write_bps = shorter(limits.io.write_bps, own.io.write_bps);
        limits.io.read_iops = shorter(limits.io.read_iops, own.io.read_iops);
        limits.io.write_iops = shorter(limits.io.write_iops, own.io.write_iops);
    }
    return limits;
}

std::int64_t PolicySet::approval_timeout_ms() const {
    std::int64_t limit = 0;
    for (const Layer& layer : layers_) limit = shorter(limit, layer.policy.approval.timeout_ms);
    return limit;
}

SeccompMode PolicySet::seccomp() const {
    SeccompMode mode = layers_.front().policy.world.seccomp;
    for (const Layer& layer : layers_) mode = std::min(mode, layer.policy.world.seccomp);
    return mode;
}

bool PolicySet::interactive() const {
    return std::ranges::all_of(layers_, [](const Layer& layer) { return layer.policy.approval.interactive; });
}

// As publish(): all must agree, but the machine's where it does not say.
std::vector<std::string> PolicySet::sockets(const policy::PatternValues& values,
                                            std::vector<std::string>& problems) const {
    std::optional<std::vector<std::string>> agreed;
    for (const Layer& layer : layers_) {
        const auto& named = layer.policy.net.unix_sockets;
        if (!named && layer.role == LayerRole::managed) continue;
        std::vector<std::string> own =
            policy::named_sockets(named.value_or(std::vector<std::string>{}), values, problems);
        if (agreed)
            std::erase_if(
                own, [&](const std::string& path) { return !std::ranges::binary_search(*agreed, path); });
        agreed = std::move(own);
    }
    return agreed.value_or(std::vector<std::string>{});
}

FsAccess PolicySet::fs_access(const policy::PatternValues& values,
                              const std::vector<std::string>& granted) const {
    const auto access_of = [&](const Layer& layer) {
        FsAccess access = policy::fs_access_of(layer.policy, values);
        const bool loosened = layer.role != LayerRole::managed && access.mode != WorldFsMode::read_only &&
                              (!access.project_writable || !access.write_rules.empty());
        if (!loosened) return access;
        access.writable.insert(access.writable.end(), granted.begin(), granted.end());
        std::ranges::sort(access.writable);
        access.writable.erase(std::ranges::unique(access.writable).begin(), access.writable.end());
        // The whole project, where that was granted.
        access.project_writable =
            access.project_writable || std::ranges::find(granted, values.project) != granted.end();
        for (FsRule& rule : access.write_rules)
            for (const std::string& path : granted) rule.patterns.push_back(literal_pattern(path));
        return access;
    };
    FsAccess access = access_of(layers_.front());
    for (std::size_t i = 1; i < layers_.size(); ++i)
        access = policy::both(std::move(access), access_of(layers_[i]), values.project);
    access.sockets = sockets(values, access.unenforced);
    return access;
}

Verdict judge(const PolicySet& set, const policy::ParsedLine& line,
              const policy::EvaluationContext& context) {
    Verdict verdict;
    bool any_direct = false, all_direct = true;
    for (std::size_t i = 0; i < set.layers().size(); ++i) {
        Decision decision = policy::judge(set.compiled(i), line, context);
        const bool enforced = decision.mode == PolicyMode::enforce;
        const bool denies = decision.action == DecisionAction::deny;
        const bool asks = decision.action == DecisionAction::ask;
        verdict.denied |= enforced && denies;
        verdict.asks |= enforced && asks;
        verdict.would_deny |= !enforced && denies;
        // Observing never holds a command back, and so not for what is unknown in it. What a
        // pattern says about how it runs holds always.
        if (decision.isolated || (enforced && restricts(decision, "isolate"))) verdict.isolate = true;
        const bool direct = restricts(decision, "direct");
        any_direct |= direct;
        all_direct &= direct || set.layers()[i].role == LayerRole::managed;
        if (i == 0 || weight(decision) > weight(verdict.decision)) verdict.decision = std::move(decision);
    }
    verdict.direct = any_direct && all_direct && !verdict.isolate;
    return verdict;
}

}  // namespace substrate::broker
