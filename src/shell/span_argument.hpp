#pragma once

#include <string>

#include "base/result.hpp"

namespace substrate::shell {

// What is wrong with an id that should be a span's, and what there is for what it names instead.
Error not_a_span(const std::string& id);

}  // namespace substrate::shell
