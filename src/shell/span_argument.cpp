#include "shell/span_argument.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/ids.hpp"
#include "base/text.hpp"

namespace substrate::shell {

Error not_a_span(const std::string& id) {
    for (const auto& [prefix, what] : {std::pair{"wld", "a world"}, std::pair{"snp", "a snapshot"}})
        if (is_id(id, prefix))
            return Error(Errc::invalid, fmt::format("{} is {}, not a span", id, what))
                .hint("substrate diff " + id + " shows its changes");
    return Error(Errc::invalid, "'" + printable(id) + "' is not a span id")
        .hint("substrate trace lists them");
}

}  // namespace substrate::shell
