#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace substrate::world {

// What the probing parent asks of an init that is to answer and end. `scratch`
// holds the empty directories root, lower, upper, work and merged.
struct ProbeQuestion {
    std::string scratch;
    std::string fuse_program;  // empty: do not try
    bool user_xattrs = true;
    bool own_network = true;
    bool veth = false;  // whether to try a pair of devices
};
// Empty: it works. Otherwise what failed, in words.
struct ProbeAnswer {
    std::string proc;
    std::string network;
    std::string nftables;
    std::string ipv6;
    std::string veth;
    std::string overlay;
    std::string fuse;
};

std::string encode(const ProbeQuestion& question);
std::string encode(const ProbeAnswer& answer);
// nullopt-like: Errc::invalid when `bytes` is a plan and not a question.
Result<ProbeQuestion> decode_probe_question(std::string_view bytes);
Result<ProbeAnswer> decode_probe_answer(std::string_view bytes);
bool is_probe_question(std::string_view bytes);

// Runs in the init, inside the new namespaces: tries each thing for real.
ProbeAnswer try_everything(const ProbeQuestion& question);

}  // namespace substrate::world
