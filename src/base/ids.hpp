#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "base/id_form.hpp"

namespace substrate {

// "<prefix>_<uuid>": a UUID version 7 (RFC 9562), so ids sort by creation time.
std::string make_id(const Env& env, std::string_view prefix);

inline std::string make_span_id(const Env& env) { return make_id(env, "spn"); }
inline std::string make_world_id(const Env& env) { return make_id(env, "wld"); }
inline std::string make_session_id(const Env& env) { return make_id(env, "ses"); }

// When an id of make_id was made, to the millisecond, in nanoseconds since the epoch;
// nullopt for what is none.
std::optional<std::int64_t> time_of_id(std::string_view id);

}  // namespace substrate
