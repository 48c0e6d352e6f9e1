#pragma once

#include <string_view>

namespace substrate::plan {

// True for a variable of a process environment that may enter a world: PATH, HOME, USER,
// LOGNAME, SHELL, TERM, COLORTERM, NO_COLOR, LANG, LANGUAGE, LC_*, TZ. Everything else
// stays outside. Calls no function of the C library: it is asked before there is one.
[[gnu::always_inline]] constexpr bool is_passed_variable(std::string_view name) {
    constexpr std::string_view kPassed[] = {"COLORTERM", "HOME",  "LANG", "LANGUAGE", "LOGNAME", "NO_COLOR",
                                            "PATH",      "SHELL", "TERM", "TZ",       "USER"};
    const auto begins_with = [name](std::string_view start) {
        if (name.size() < start.size()) return false;
        for (unsigned i = 0; i < start.size(); ++i)
            if (name[i] != start[i]) return false;
        return true;
    };
    for (const std::string_view passed : kPassed)
        if (name.size() == passed.size() && begins_with(passed)) return true;
    if (!begins_with("LC_")) return false;
    for (const char c : name)
        if (c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')) return false;
    return true;
}

}  // namespace substrate::plan
