#include "policy/normal_form.hpp"

#include <algorithm>
#include <unordered_map>

#include "policy/wrapper_table.hpp"

namespace substrate::policy {
namespace {

// Tools whose long and short options people mix, and tools whose operands are files.
constexpr ToolForm kTools[] = {
    {.names = "rm",
     .equivalents = "recursive=r force=f dir=d verbose=v interactive=i",
     .letters = "Rr",
     .files = true},
    {.names = "rmdir unlink shred truncate wipefs blkdiscard srm dd",
     .equivalents = "force=f remove=u verbose=v zero=z parents=p all=a",
     .valued = "ns",
     .valued_longs = "iterations size",
     .files = true},
    {.names = "chmod",
     .equivalents = "recursive=R verbose=v changes=c silent=f quiet=f",
     .valued_longs = "reference",
     .files = true,
     .mode_first = true},
    {.names = "chown chgrp chattr setfacl",
     .equivalents = "recursive=R verbose=v changes=c silent=f quiet=f no-dereference=h",
     .valued_longs = "reference from",
     .files = true},
    {.names = "cp mv ln install",
     .equivalents = "recursive=r force=f archive=a symbolic=s verbose=v no-clobber=n",
     .letters = "Rr",
     .valued = "tS",
     .valued_longs = "target-directory suffix"},
    {.names = "mkdir",
     .equivalents = "parents=p mode=m verbose=v",
     .valued = "m",
     .valued_longs = "mode",
     .files = true},
    {.names = "touch",
     .equivalents = "no-create=c date=d no-dereference=h reference=r",
     .valued = "drt",
     .valued_longs = "date reference time",
     .files = true},
    {.names = "git",
     .equivalents = "force=f delete=d all=a message=m quiet=q verbose=v",
     .valued_longs = "git-dir work-tree namespace super-prefix"},
    {.names = "curl",
     .equivalents =
         "location=L silent=s show-error=S fail=f output=o request=X data=d header=H insecure=k user=u "
         "remote-name=O upload-file=T form=F",
     .valued = "oXdHuTFAebcKmwxC",
     .valued_longs =
         "output request data header user upload-file form data-binary data-raw url proxy max-time"},
    {.names = "wget",
     .equivalents = "quiet=q output-document=O continue=c recursive=r",
     .valued = "OoPUtT",
     .valued_longs = "output-document output-file directory-prefix user-agent post-data post-file"},
    {.names = "npm pnpm yarn",
     .equivalents = "global=g save-dev=D save=S",
     .valued = "C",
     .valued_longs = "prefix registry workspace cache userconfig"},
    {.names = "pip pip3",
     .equivalents = "upgrade=U requirement=r editable=e index-url=i target=t",
     .valued = "ritc",
     .valued_longs = "requirement index-url extra-index-url target constraint find-links"},
    {.names = "apt apt-get",
     .equivalents = "yes=y assume-yes=y quiet=q",
     .valued = "otc",
     .valued_longs = "option target-release config-file"},
    {.names = "docker podman", .valued = "H", .valued_longs = "host context config log-level"},
    {.names = "kubectl", .valued = "n", .valued_longs = "namespace context kubeconfig cluster user"},
    {.names = "make",
     .equivalents = "directory=C file=f jobs=j always-make=B",
     .valued = "Cf",
     .valued_longs = "directory file"},
    {.names = "cargo", .valued_longs = "manifest-path color config"},
    {.names = "tar",
     .equivalents = "extract=x get=x create=c list=t gzip=z file=f verbose=v directory=C",
     .valued = "fC",
     .valued_longs = "file directory"},
    {.names = "sed", .equivalents = "in-place=i quiet=n silent=n expression=e", .valued = "e"},
    {.names = "kill pkill killall", .equivalents = "signal=s"},
    {.names = "systemctl", .valued_longs = "type state"},
    {.names =
         "find java javac go terraform openssl ffmpeg convert magick xrandr gcc g++ cc clang ld qemu-img",
     .dash_words = true},
};
constexpr ToolForm kDefault{};

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Every letter that a long option, or the beginning of one, may stand for.
bool add_equivalents(const ToolForm& tool, std::string_view name, LetterSet& letters) {
    bool found = false;
    for (std::string_view rest = tool.equivalents; !rest.empty() && !name.empty();) {
        const bool begins = rest.starts_with(name);
        const std::size_t space = std::min(rest.find(' '), rest.size());
        const std::string_view entry = rest.substr(0, space);
        rest.remove_prefix(std::min(space + 1, rest.size()));
        if (!begins) continue;
        const std::size_t equals = entry.find('=');
        // getopt_long(3) takes any beginning that is not ambiguous.
        if (equals == std::string_view::npos || !entry.substr(0, equals).starts_with(name)) continue;
        letters.add(entry[equals + 1]);
        found = true;
    }
    return found;
}

char letter_of(const ToolForm& tool, char c) {
    for (std::size_t i = 0; i + 1 < tool.letters.size(); i += 3)
        if (tool.letters[i] == c) return tool.letters[i + 1];
    return c;
}

// 0777, a+rwx and the like are 777; anything else stays.
std::string file_mode(std::string_view mode) {
    if (!mode.empty() && std::ranges::all_of(mode, is_digit)) {
        const std::size_t first = std::min(mode.find_first_not_of('0'), mode.size() - 1);
        return std::string(mode.substr(first));
    }
    for (const std::string_view all : {"a+rwx", "a=rwx", "ugo+rwx", "ugo=rwx", "+rwx", "u+rwx,g+rwx,o+rwx",
                                       "u=rwx,g=rwx,o=rwx", "ugoa+rwx", "a+rwX", "go+rwx", "o+rwx"})
        if (mode == all) return "777";
    return std::string(mode);
}

// What a pattern for all names in a directory means for one who deletes them.
std::string_view without_all_names(std::string_view path) {
    for (const std::string_view all : {"/*", "/.*", "/**", "/.[!.]*", "/?*", "/*/"})
        if (path.ends_with(all))
            return path.size() == all.size() ? "/" : path.substr(0, path.size() - all.size());
    return path;
}

void add_reading(Operand& operand, std::string reading) {
    if (reading != operand.text && std::ranges::find(operand.readings, reading) == operand.readings.end())
        operand.readings.push_back(std::move(reading));
}

void add_path_readings(Operand& operand, const ToolForm& tool, const NormalContext& context) {
    std::string_view text = operand.text;
    if (operand.glob) text = without_all_names(text);
    if (text.starts_with('/')) return add_reading(operand, normal_path(text));
    const bool path = tool.files || text == "." || text == ".." || text.contains('/');
    if (!path || text.empty()) return;
    add_reading(operand, normal_path(text));
    const bool all_here = operand.glob && (text == "*" || text == ".*" || text == "**");
    for (const std::string& directory : context.directories)
        add_reading(operand, normal_path(all_here ? directory : directory + "/" + std::string(text)));
}

// One option word; true when its value is the next word.
bool add_option(const ToolForm& tool, const std::string& text, NormalCommand& out) {
    if (text.starts_with("--")) {
        const std::size_t equals = std::min(text.find('='), text.size());
        const std::string_view name = std::string_view(text).substr(2, equals - 2);
        // Both forms are kept: a pattern may name an option that has no letter.
        const bool lettered = add_equivalents(tool, name, out.letters);
        out.longs.push_back({text, lettered && equals == text.size()});
        return equals == text.size() && listed(tool.valued_longs, name);
    }
    if (tool.dash_words) {
        out.longs.push_back({text});
        return false;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        out.letters.add(letter_of(tool, text[i]));
        if (tool.valued.contains(text[i])) return i + 1 == text.size();
    }
    return false;
}

}  // namespace

const ToolForm& tool_form(std::string_view base) {
    // Filled once, at first use; never written again.
    static const std::unordered_map<std::string_view, const ToolForm*> by_name = [] {
        std::unordered_map<std::string_view, const ToolForm*> made;
        for (const ToolForm& tool : kTools)
            for (std::string_view rest = tool.names; !rest.empty();) {
                const std::size_t space = std::min(rest.find(' '), rest.size());
                made.emplace(rest.substr(0, space), &tool);
                rest.remove_prefix(std::min(space + 1, rest.size()));
            }
        return made;
    }();
    const auto found = by_name.find(base);
    return found == by_name.end() ? kDefault : *found->second;
}

std::string normal_path(std::string_view path) {
    const bool plain = path.size() > 1 && path.find("/.") == std::string_view::npos &&
                       path.find("//") == std::string_view::npos && path.back() != '/' && path.front() != '.';
    if (plain) return std::string(path);
    std::vector<std::string_view> parts;
    const bool absolute = path.starts_with('/');
    while (!path.empty()) {
        const std::size_t slash = std::min(path.find('/'), path.size());
        const std::string_view part = path.substr(0, slash);
        path.remove_prefix(std::min(slash + 1, path.size()));
        if (part.empty() || part == ".") continue;
        if (part != "..") parts.push_back(part);  // NOLINT(bugprone-branch-clone): cases of their own
        else if (!parts.empty() && parts.back() != "..") parts.pop_back();
        else if (!absolute) parts.push_back(part);
    }
    std::string out;
    for (const std::string_view part : parts) {
        if (absolute || !out.empty()) out += '/';
        out += part;
    }
    if (out.empty()) out = absolute ? "/" : ".";
    return out;
}

NormalCommand normal_form(const SimpleCommand& command, const NormalContext& context) {
    NormalCommand out;
    if (command.words.empty()) return out;
    const Word& program = command.words[0];
    out.program = program.text;
    out.base = base_name(program.text);
    out.known = program.exact();
    out.shell = out.known && shell_family(out.base) != ShellFamily::none;
    const ToolForm& tool = tool_form(out.base);
    out.tool = &tool;
    out.operands.reserve(command.words.size());
    bool options_end = false, value = false;
    for (std::size_t i = 1; i < command.words.size(); ++i) {
        const Word& word = command.words[i];
        const std::string& text = word.text;
        out.any_unknown = out.any_unknown || !word.known();
        if (value) {
            // Stays beside its option, as `--name=value` would.
            if (!out.longs.empty() && command.words[i - 1].text.starts_with("--"))
                out.longs.back().text += "=" + text;
            value = false;
            continue;
        }
        const bool starts_loose =
            !word.known() ? text.empty() || text[0] == '-'
                          : word.glob && !text.empty() && std::string_view("*?[").contains(text[0]);
        out.loose_options = out.loose_options || (starts_loose && !options_end);
        if (!options_end && word.known() && text == "--") {
            options_end = true;
        } else if (!options_end && text.size() > 1 && text[0] == '-') {
            value = add_option(tool, text, out);
            // git's -C and -c come before the verb and take a word; after it they do not.
            if (out.base == "git" && out.operands.empty() && (text == "-C" || text == "-c")) value = true;
        } else {
            Operand operand{.text = text, .readings = {}, .known = word.known(), .glob = word.glob};
            if (tool.mode_first && out.operands.empty()) add_reading(operand, file_mode(text));
            else if (word.known()) add_path_readings(operand, tool, context);
            out.operands.push_back(std::move(operand));
        }
    }
    return out;
}

NormalPattern normal_pattern(const std::vector<std::string>& words) {
    NormalPattern out;
    if (words.empty()) return out;
    out.program = words[0];
    const ToolForm& tool = tool_form(base_name(out.program));
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& text = words[i];
        if (text == "--") continue;
        const bool option = text.size() > 1 && text[0] == '-';
        if (!option) {
            out.any_words = out.any_words || text == "*";
            out.operands.push_back(tool.mode_first && out.operands.empty() ? file_mode(text) : text);
        } else if (tool.dash_words || text.find_first_of("*?[") != std::string::npos) {
            out.longs.push_back(text);
        } else if (text.starts_with("--")) {
            LetterSet letters;
            if (text.contains('=') || !add_equivalents(tool, std::string_view(text).substr(2), letters))
                out.longs.push_back(text);
            // Only a whole name is a letter here: a beginning could mean several.
            else
                for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
                    if (letters.has(c)) out.letters.add(c);
        } else {
            for (const char c : std::string_view(text).substr(1)) out.letters.add(letter_of(tool, c));
        }
    }
    return out;
}

}  // namespace substrate::policy
