#include "codec/yaml_value.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <unordered_set>

namespace substrate {
namespace {

// Stands behind the text as a comment. yaml-cpp lets a quote run to the end of the
// text; then this is part of a value.
constexpr std::string_view kEnd = "\n#end-of-the-text\n";
constexpr std::string_view kEndMark = "#end-of-the-text";

// Builds the tree from the parser's events. After a problem it ignores the rest.
class Builder : public YAML::EventHandler {
  public:
    explicit Builder(const YamlLimits& limits) : limits_(limits) {}

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        add(mark, {}, anchor, {.kind = YamlNode::Kind::null});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        refuse(mark, "aliases are not supported");
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        if (value.contains(kEndMark)) return refuse(mark, "a quote is not closed");
        // yaml-cpp tags plain scalars "?" and quoted ones "!". An explicit tag is neither.
        add(mark, tag, anchor, {.kind = YamlNode::Kind::scalar, .text = value, .quoted = tag == "!"});
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, YamlNode::Kind::sequence);
    }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, YamlNode::Kind::map);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapEnd() override { close(); }

    bool failed() const { return !problem_.message.empty(); }
    YamlProblem take_problem() { return std::move(problem_); }
    YamlNode take_root() { return std::move(root_); }

  private:
    // A collection that is being filled, and in a map the key that waits for its value.
    struct Open {
        YamlNode node;
        std::unordered_set<std::string> keys;
        std::string key;
        int key_line = 0;
        bool has_key = false;
    };

    void refuse(const YAML::Mark& mark, std::string message) {
        if (!failed()) problem_ = {mark.line + 1, mark.column + 1, std::move(message)};
    }

    bool check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        if (failed()) return false;
        if (anchor != 0) refuse(mark, "anchors are not supported");
        else if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags are not supported");
        else if (++nodes_ > limits_.max_nodes) refuse(mark, "the text holds too many values");
        return !failed();
    }

    void add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode node) {
        if (!check(mark, tag, anchor)) return;
        node.line = mark.line + 1;
        node.column = mark.column + 1;
        place(mark, std::move(node));
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
        if (!check(mark, tag, anchor)) return;
        if (open_.size() >= limits_.max_depth) return refuse(mark, "the text is nested too deeply");
        if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key)
            return refuse(mark, "a key must be plain text");
        open_.push_back({.node = {.kind = kind, .line = mark.line + 1, .column = mark.column + 1}});
    }

    void close() {
        if (failed()) return;
        YamlNode done = std::move(open_.back().node);
        open_.pop_back();
        place({}, std::move(done));
    }

    void place(const YAML::Mark& mark, YamlNode node) {
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        Open& into = open_.back();
        if (into.node.kind == YamlNode::Kind::sequence) {
            into.node.items.push_back(std::move(node));
        } else if (into.has_key) {
            // An absent value has the place of what follows it.
            if (node.kind == YamlNode::Kind::null) node.line = into.key_line;
            into.node.members.push_back({std::move(into.key), std::move(node)});
            into.node.member_lines.push_back(into.key_line);
            into.has_key = false;
        } else if (node.kind != YamlNode::Kind::scalar) {
            refuse(mark, "a key must be plain text");
        } else if (node.text == "<<") {
            refuse(mark, "merge keys are not supported");
        } else if (!into.keys.insert(node.text).second) {
            refuse(mark, "the key \"" + node.text.substr(0, 80) + "\" is there twice");
        } else {
            into.key = std::move(node.text);
            into.key_line = node.line;
            into.has_key = true;
        }
    }

    YamlProblem problem_;
    YamlNode root_;
    const YamlLimits& limits_;
    std::size_t nodes_ = 0;
    std::vector<Open> open_;
};

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
    const auto found = std::ranges::find(
        members, key, [](const YamlMember& member) { return std::string_view(member.key); });
    return found == members.end() ? nullptr : &found->value;
}

std::expected<YamlNode, YamlProblem> parse_yaml(std::string_view text, const YamlLimits& limits) {
    if (text.size() > limits.max_bytes)
        return std::unexpected(
            YamlProblem{1, 1, "the text is longer than " + std::to_string(limits.max_bytes) + " bytes"});
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        const auto line = static_cast<int>(std::ranges::count(text.substr(0, nul), '\n')) + 1;
        return std::unexpected(YamlProblem{line, 1, "the text contains a NUL byte"});
    }
    Builder builder(limits);
    try {
        std::istringstream stream(std::string(text).append(kEnd));
        YAML::Parser parser(stream);
        if (parser.HandleNextDocument(builder) && !builder.failed()) {
            Builder second(limits);
            if (parser.HandleNextDocument(second))
                return std::unexpected(YamlProblem{1, 1, "the text holds more than one document"});
        }
    } catch (const YAML::Exception& error) {
        if (!builder.failed()) {
            // The end mark is not a line that anybody wrote.
            const auto lines =
                static_cast<int>(std::ranges::count(text, '\n')) + (text.ends_with('\n') ? 0 : 1);
            return std::unexpected(YamlProblem{std::clamp(error.mark.line + 1, 1, std::max(lines, 1)),
                                               error.mark.column + 1, error.msg});
        }
    } catch (const std::exception& error) {
        return std::unexpected(YamlProblem{1, 1, std::string("the text cannot be read: ") + error.what()});
    }
    if (builder.failed()) return std::unexpected(builder.take_problem());
    return builder.take_root();
}

}  // namespace substrate
