// Reads one JSON string a line and prints what the parser finds in it, as JSON:
// {"refused", "unresolved", "commands": [[word…]…]}. Words that are file name
// patterns make a line unresolved too. For tests/policy/differential.py.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "codec/json_value.hpp"
#include "policy/command_line.hpp"

using namespace substrate;

int main(int count, char** arguments) {
    const bool posix = count > 1 && std::string_view(arguments[1]) == "posix";
    for (std::string row; std::getline(std::cin, row);) {
        const auto text = parse_json(row);
        if (!text || !text->is_string()) return 1;
        const policy::ParsedLine line = policy::parse_command_line(
            text->get<std::string>(),
            {.dialect = posix ? policy::Dialect::posix : policy::Dialect::bash, .home = "/home/u"});
        Json commands = Json::array();
        bool unresolved = false;
        for (const policy::SimpleCommand& command : line.commands) {
            if (command.origin == policy::Origin::speculative) continue;
            unresolved = unresolved || command.unresolved != policy::Unknown::none ||
                         std::ranges::any_of(command.words, &policy::Word::glob);
            Json words = Json::array();
            for (const policy::Word& word : command.words)
                words.push_back(word.process ? "/dev/fd" : word.text);
            if (!words.empty()) commands.push_back(std::move(words));
        }
        const Json out = {
            {"refused", line.refused}, {"unresolved", unresolved}, {"commands", std::move(commands)}};
        std::printf("%s\n", dump_json(out).c_str());
    }
    return 0;
}
