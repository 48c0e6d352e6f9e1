#include "codec/policy_yaml.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>

namespace substrate {
namespace {

constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kMaxText = 4096;  // bytes of one string

bool is_plain_integer(const YamlNode& node) {
    return node.kind == YamlNode::Kind::scalar && !node.quoted && !node.text.empty() &&
           (node.text == "0" || node.text[0] != '0') &&
           std::ranges::all_of(node.text, [](char c) { return c >= '0' && c <= '9'; });
}

// Plain words that YAML or JSON would not take for a string.
bool is_other_type(const YamlNode& node) {
    if (node.quoted) return false;
    for (const std::string_view word :
         {"true", "false", "null", "~", "True", "False", "TRUE", "FALSE", "Null", "NULL", ""})
        if (node.text == word) return true;
    double ignored = 0;
    const std::string_view text =
        std::string_view(node.text).substr(node.text.starts_with('+') || node.text.starts_with('-') ? 1 : 0);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ignored);
    return error == std::errc() && end == text.data() + text.size();
}

// Walks the text's tree and fills a policy.
class PolicyReader {
  public:
    PolicyReader(std::string_view file, PolicyText& out) : file_(file), out_(out) {}

    using Field = std::pair<std::string_view, std::function<void(const YamlNode&, const std::string&)>>;

    void problem(int line, int column, const std::string& pointer, std::string message) {
        if (out_.problems.size() >= kMaxProblems) return;
        // An empty text has no place of its own.
        out_.problems.push_back(
            {std::string(file_), std::max(line, 1), std::max(column, 1), pointer, std::move(message)});
    }
    void problem(const YamlNode& node, const std::string& pointer, std::string message) {
        problem(node.line, node.column, pointer, std::move(message));
    }

    // Every key must be one of `fields`.
    void object(const YamlNode& node, const std::string& pointer, std::initializer_list<Field> fields) {
        if (node.kind != YamlNode::Kind::map) return problem(node, pointer, "must be a mapping");
        for (std::size_t i = 0; i < node.members.size(); ++i) {
            const auto& [key, value] = node.members[i];
            const std::string inner = pointer + "/" + escaped(key);
            const auto field = std::ranges::find(fields, std::string_view(key), &Field::first);
            if (field != fields.end()) {
                field->second(value, inner);
                continue;
            }
            std::string known;
            for (const Field& one : fields) known += (known.empty() ? "" : ", ") + std::string(one.first);
            problem(node.member_lines[i], 1, inner, "is not a known key; known here: " + known);
        }
    }

    auto flag(bool& into) {
        return [this, &into](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            const bool plain = node.kind == YamlNode::Kind::scalar && !node.quoted;
            if (plain && (node.text == "true" || node.text == "false")) into = node.text == "true";
            else problem(node, pointer, "must be true or false");
        };
    }
    auto text(std::string& into, std::function<std::string(const std::string&)> check = {}) {
        return [this, &into, check = std::move(check)](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            if (!string(node, pointer)) return;
            if (check)
                if (std::string wrong = check(node.text); !wrong.empty())
                    return problem(node, pointer, std::move(wrong));
            into = node.text;
        };
    }
    auto texts(std::vector<std::string>& into) {
        return [this, &into](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            list(node, pointer, into);
        };
    }
    template <class T, class Parse>
    auto word(T& into, Parse parse, std::string_view choices) {
        return [this, &into, parse, choices](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            if (node.kind == YamlNode::Kind::scalar)
                if (const auto value = parse(std::string_view(node.text))) {
                    into = *value;
                    return;
                }
            problem(node, pointer, "must be one of " + std::string(choices));
        };
    }
    template <class Int>
    auto integer(Int& into, std::uint64_t least = 0) {
        return [this, &into, least](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            std::uint64_t value = 0;
            const bool plain = is_plain_integer(node);
            if (plain) {
                const auto [end, error] =
                    std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
                // JSON numbers lose precision above 2^53, and the schema says so too.
                if (error == std::errc() &&
                    value <= std::min<std::uint64_t>(std::numeric_limits<Int>::max(), 1ull << 53) &&
                    value >= least) {
                    into = static_cast<Int>(value);
                    return;
                }
            }
            problem(node, pointer, plain ? "is out of range" : "must be a whole number");
        };
    }
    auto ports(std::vector<std::uint16_t>& into) {
        return [this, &into](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            if (node.kind != YamlNode::Kind::sequence) return problem(node, pointer, "must be a list");
            into.clear();
            for (std::size_t i = 0; i < node.items.size(); ++i) {
                std::uint16_t port = 0;
                integer(port, 1)(node.items[i], pointer + "/" + std::to_string(i));
                if (port != 0) into.push_back(port);
            }
        };
    }
    // A number with a unit, as text or as a plain number.
    template <class T, class Parse>
    auto quantity(T& into, Parse parse, std::string_view example) {
        return [this, &into, parse, example](const YamlNode& node, const std::string& pointer) {
            origin(node, pointer);
            if (node.kind == YamlNode::Kind::scalar)
                if (const auto value = parse(std::string_view(node.text))) {
                    into = static_cast<T>(*value);
                    return;
                }
            problem(node, pointer, "must be " + std::string(example));
        };
    }

    bool string(const YamlNode& node, const std::string& pointer) {
        if (node.kind != YamlNode::Kind::scalar || is_other_type(node)) {
            problem(node, pointer, "must be a string; quote what is not meant as a number or a truth value");
            return false;
        }
        if (node.text.empty() || node.text.size() > kMaxText) {
            problem(node, pointer, node.text.empty() ? "must not be empty" : "is longer than 4096 bytes");
            return false;
        }
        return true;
    }
    void list(const YamlNode& node, const std::string& pointer, std::vector<std::string>& into) {
        if (node.kind != YamlNode::Kind::sequence) return problem(node, pointer, "must be a list of strings");
        into.clear();
        for (std::size_t i = 0; i < node.items.size(); ++i) {
            const std::string item = pointer + "/" + std::to_string(i);
            origin(node.items[i], item);
            if (string(node.items[i], item)) into.push_back(node.items[i].text);
        }
    }
    void origin(const YamlNode& node, const std::string& pointer) {
        out_.origins.push_back({pointer, node.line});
    }

  private:
    static std::string escaped(std::string_view key) {
        std::string out;
        for (const char c : key) {
            if (c == '~') out += "~0";
            else if (c == '/') out += "~1";
            else out += c;
        }
        return out;
    }

    std::string_view file_;
    PolicyText& out_;
};

constexpr std::string_view kSizeExample = "a size such as \"512Mi\" or \"2Gi\", or a number of bytes";
constexpr std::string_view kTimeExample = "a duration such as \"30s\" or \"1h30m\", or a number of seconds";

void read_fs(PolicyReader& reader, FsRules& fs, const YamlNode& node, const std::string& pointer) {
    reader.object(node, pointer,
                  {{"read", reader.texts(fs.read)},
                   {"write", reader.texts(fs.write)},
                   {"deny", reader.texts(fs.deny)}});
}

void read_world_fs(PolicyReader& reader, WorldFsRules& fs, const YamlNode& node, const std::string& pointer) {
    reader.object(node, pointer,
                  {{"mode", reader.word(fs.mode, parse_world_fs_mode, "writable, read_only")},
                   {"isolation", reader.word(fs.isolation, parse_world_fs_isolation, "workspace, full")},
                   {"read_allowlist", reader.texts(fs.read_allowlist)},
                   {"write_allowlist", reader.texts(fs.write_allowlist)},
                   {"require_world", reader.flag(fs.require_world)}});
}

void read_net(PolicyReader& reader, NetRules& net, const YamlNode& node, const std::string& pointer) {
    reader.object(
        node, pointer,
        {{"allowed",
          [&](const YamlNode& value, const std::string& at) {
              net.allowed.emplace();
              reader.texts (*net.allowed)(value, at);
          }},
         {"denied", reader.texts(net.denied)},
         {"unix",
          [&](const YamlNode& value, const std::string& at) {
              net.unix_sockets.emplace();
              reader.texts (*net.unix_sockets)(value, at);
          }},
         {"mode",
          [&](const YamlNode& value, const std::string& at) {
              NetPath path = NetPath::none;  // a word that is not known opens nothing
              reader.word(path, parse_net_path, "gateway, veth, none")(value, at);
              net.mode = path;
          }},
         {"dns",
          [&](const YamlNode& value, const std::string& at) {
              reader.object(value, at,
                            {{"pinned", reader.flag(net.dns_pinned)},
                             {"refresh_secs", reader.integer(net.dns_refresh_secs, 1)}});
          }},
         {"egress_budget", [&](const YamlNode& value, const std::string& at) {
              reader.object(
                  value, at,
                  {{"bytes_per_sec",
                    reader.quantity(net.egress_bytes_per_sec, parse_byte_size, kSizeExample)},
                   {"total_bytes", reader.quantity(net.egress_total_bytes, parse_byte_size, kSizeExample)},
                   {"max_egress_bytes",
                    reader.quantity(net.egress_command_bytes, parse_byte_size, kSizeExample)}});
          }}});
}

void read_commands(PolicyReader& reader, CommandRules& commands, const YamlNode& node,
                   const std::string& pointer) {
    reader.object(
        node, pointer,
        {{"allowed", reader.texts(commands.allowed)},
         {"denied", reader.texts(commands.denied)},
         {"isolated", reader.texts(commands.isolated)},
         {"direct", reader.texts(commands.direct)},
         {"unresolved", reader.word(commands.unresolved, parse_unresolved_rule, "ask, deny, isolate")}});
}

void read_world(PolicyReader& reader, WorldRules& world, const YamlNode& node, const std::string& pointer) {
    const auto io = [&](const YamlNode& value, const std::string& at) {
        IoLimits& most = world.limits.io;
        reader.object(value, at,
                      {{"read_bps", reader.quantity(most.read_bps, parse_byte_size, kSizeExample)},
                       {"write_bps", reader.quantity(most.write_bps, parse_byte_size, kSizeExample)},
                       {"read_iops", reader.integer(most.read_iops, 1)},
                       {"write_iops", reader.integer(most.write_iops, 1)}});
    };
    const auto limits = [&](const YamlNode& value, const std::string& at) {
        reader.object(value, at,
                      {{"cpu", reader.quantity(world.limits.cpu_millis, parse_cpu_millis,
                                               "processors such as \"2\" or \"1500m\"")},
                       {"memory", reader.quantity(world.limits.memory_bytes, parse_byte_size, kSizeExample)},
                       {"pids", reader.integer(world.limits.pids, 1)},
                       {"runtime", reader.quantity(world.limits.runtime_ms, parse_duration_ms, kTimeExample)},
                       {"io", io}});
    };
    const auto high = [&](const YamlNode& value, const std::string& at) {
        HighIsolation& isolation = world.high_isolation;
        reader.object(
            value, at,
            {{"enabled", reader.flag(isolation.enabled)},
             {"provider", reader.text(isolation.provider)},
             {"microvm_memory", reader.quantity(isolation.microvm_memory, parse_byte_size, kSizeExample)},
             {"microvm_vcpus", reader.integer(isolation.microvm_vcpus, 1)}});
    };
    reader.object(
        node, pointer,
        {{"reuse_session", reader.flag(world.reuse_session)},
         {"enable_preload", reader.flag(world.enable_preload)},
         {"exec_tap", reader.flag(world.exec_tap)},
         {"isolate_network", reader.flag(world.isolate_network)},
         {"commit", reader.word(world.commit, parse_commit_mode, "auto, ask, manual, discard")},
         {"seccomp", reader.word(world.seccomp, parse_seccomp_mode, "enforce, log, off, true, false")},
         {"limits", limits},
         {"high_isolation", high},
         {"backend", reader.text(world.backend)},
         {"publish", reader.ports(world.publish)}});
}

void read_approval(PolicyReader& reader, ApprovalRules& approval, const YamlNode& node,
                   const std::string& pointer) {
    // true: every command; a list: those that match.
    const auto require = [&](const YamlNode& value, const std::string& at) {
        if (value.kind == YamlNode::Kind::sequence) reader.texts(approval.require)(value, at);
        else reader.flag(approval.require_all)(value, at);
    };
    reader.object(node, pointer,
                  {{"interactive", reader.flag(approval.interactive)},
                   {"require", require},
                   {"timeout", reader.quantity(approval.timeout_ms, parse_duration_ms, kTimeExample)},
                   {"auto_approve", reader.texts(approval.auto_approve)}});
}

void read_env(PolicyReader& reader, EnvRules& env, const YamlNode& node, const std::string& pointer) {
    const auto set = [&](const YamlNode& value, const std::string& at) {
        if (value.kind != YamlNode::Kind::map)
            return reader.problem(value, at, "must be a mapping from names to strings");
        for (const auto& [name, text] : value.members)
            if (reader.string(text, at + "/" + name)) env.set.insert_or_assign(name, text.text);
        reader.origin(value, at);
    };
    reader.object(node, pointer, {{"pass", reader.texts(env.pass)}, {"set", set}});
}

void read_privacy(PolicyReader& reader, PrivacyRules& privacy, const YamlNode& node,
                  const std::string& pointer) {
    reader.object(node, pointer,
                  {{"ignore_paths", reader.texts(privacy.ignore_paths)},
                   {"hash_code_only", reader.flag(privacy.hash_code_only)},
                   {"index_user_docs", reader.flag(privacy.index_user_docs)}});
}

std::string wrong_id(const std::string& id) {
    const bool plain = id.size() <= 64 && std::ranges::all_of(id, [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                       });
    return plain ? "" : "must be up to 64 of a-z, 0-9 and -";
}

template <class Read, class Part>
auto part(PolicyReader& reader, Part& into, Read read) {
    return [&reader, &into, read](const YamlNode& node, const std::string& pointer) {
        read(reader, into, node, pointer);
    };
}

}  // namespace

std::string PolicyProblem::text() const {
    std::string out = file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": ";
    if (!pointer.empty()) out += pointer + ": ";
    return out + message;
}

PolicyText parse_policy(std::string_view text, std::string_view file) {
    PolicyText out;
    PolicyReader reader(file, out);
    const auto tree = parse_yaml(text);
    if (!tree) {
        reader.problem(tree.error().line, tree.error().column, {}, tree.error().message);
        return out;
    }
    Policy& policy = out.policy;
    reader.object(*tree, {},
                  {{"id", reader.text(policy.id, wrong_id)},
                   {"name", reader.text(policy.name)},
                   {"mode", reader.word(policy.mode, parse_policy_mode, "observe, enforce")},
                   {"fs", part(reader, policy.fs, read_fs)},
                   {"world_fs", part(reader, policy.world_fs, read_world_fs)},
                   {"net", part(reader, policy.net, read_net)},
                   {"commands", part(reader, policy.commands, read_commands)},
                   {"world", part(reader, policy.world, read_world)},
                   {"approval", part(reader, policy.approval, read_approval)},
                   {"allow_shell_operators", reader.flag(policy.allow_shell_operators)},
                   {"env", part(reader, policy.env, read_env)},
                   {"privacy", part(reader, policy.privacy, read_privacy)}});
    if (tree->kind == YamlNode::Kind::map && tree->find("id") == nullptr)
        reader.problem(std::max(tree->line, 1), 1, "/id", "is missing");
    return out;
}

std::optional<std::uint64_t> parse_byte_size(std::string_view text) {
    constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {
        {"Ki", 1ull << 10}, {"Mi", 1ull << 20}, {"Gi", 1ull << 30},  {"Ti", 1ull << 40},
        {"k", 1'000},       {"M", 1'000'000},   {"G", 1'000'000'000}};
    std::uint64_t factor = 1;
    for (const auto& [unit, size] : kUnits)
        if (factor == 1 && text.ends_with(unit)) {
            factor = size;
            text.remove_suffix(unit.size());
        }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
        value > (1ull << 53) / factor)
        return std::nullopt;
    return value * factor;
}

std::optional<std::uint32_t> parse_cpu_millis(std::string_view text) {
    const bool millis = text.ends_with('m');
    if (millis) text.remove_suffix(1);
    const std::size_t point = std::min(text.find('.'), text.size());
    const std::string_view whole = text.substr(0, point);
    std::string fraction(text.substr(std::min(point + 1, text.size())));
    if (whole.empty() || (point < text.size() && (fraction.empty() || fraction.size() > 3 || millis)))
        return std::nullopt;
    std::uint32_t value = 0, part = 0;
    const auto read = [](std::string_view digits, std::uint32_t& into) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), into);
        return error == std::errc() && end == digits.data() + digits.size();
    };
    if (!read(whole, value) || value > (millis ? 4'096'000u : 4'096u)) return std::nullopt;
    if (millis) return value == 0 ? std::nullopt : std::optional(value);
    fraction.resize(3, '0');
    if (!read(fraction, part) || value * 1000 + part == 0) return std::nullopt;
    return value * 1000 + part;
}

std::optional<std::int64_t> parse_duration_ms(std::string_view text) {
    constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
        {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
    constexpr std::int64_t kMost = 366 * std::int64_t{86'400'000};
    std::int64_t total = 0;
    bool any = false;
    while (!text.empty()) {
        std::int64_t value = 0;
        if (text[0] < '0' || text[0] > '9') return std::nullopt;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || value > kMost) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        std::int64_t factor = text.empty() && !any ? 1'000 : 0;
        for (const auto& [unit, size] : kUnits)
            if (factor == 0 && text.starts_with(unit)) {
                factor = size;
                text.remove_prefix(unit.size());
            }
        if (factor == 0 || value > kMost / factor) return std::nullopt;
        total += value * factor;
        any = true;
        if (total > kMost) return std::nullopt;
    }
    return any ? std::optional(total) : std::nullopt;
}

}  // namespace substrate
