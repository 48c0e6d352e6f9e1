#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Netlink messages (netlink(7)): built first, sent at once.
namespace substrate::sys {

// Messages one behind the other, in the order of the machine. Each is closed by the next or by bytes().
class NetlinkBatch {
  public:
    // A message of this type, with the family's own header behind the common one. With `acknowledged` the
    // kernel answers it.
    void message(std::uint16_t type, std::uint16_t flags, std::string_view header, bool acknowledged = true);
    // An attribute of the last message, or of its innermost open nest.
    void put(std::uint16_t type, std::string_view bytes);
    void put_raw(std::string_view bytes);                      // what stands before attributes in a nest
    void put_text(std::uint16_t type, std::string_view text);  // with the NUL that the kernel wants
    void put_u32(std::uint16_t type, std::uint32_t value);     // in the machine's order
    void put_be32(std::uint16_t type, std::uint32_t value);    // in the network's order
    void put_be64(std::uint16_t type, std::uint64_t value);
    // Opens an attribute that holds attributes; close_nest() takes what this has returned.
    std::size_t open_nest(std::uint16_t type);
    void close_nest(std::size_t nest);

    std::string_view bytes();
    // How many answers the kernel owes.
    std::size_t acknowledgements() const { return acknowledgements_; }

  private:
    void close_message();

    std::string bytes_;
    std::size_t message_ = std::string::npos;  // where the open message begins
    std::size_t acknowledgements_ = 0;
    std::uint32_t sequence_ = 0;
};

// A socket for a family (NETLINK_ROUTE, NETLINK_NETFILTER) of the current net namespace, for which it
// remains; with `group`, one that hears what the kernel tells that group, and does not block.
Result<UniqueFd> open_netlink(int family, unsigned group = 0);

// The attributes of a message or of a nest, one behind the other; a torn one ends them.
void each_attribute(std::string_view bytes, const std::function<void(int, std::string_view)>& visit);
// The last of this type; empty where there is none.
std::string_view attribute(std::string_view bytes, int wanted);

// Sends the batch and takes the kernel's answers; the first that is an error is ours, with the number of its
// message from 1.
Result<> netlink_transact(int socket, NetlinkBatch& batch);
// The same with a socket for this batch alone.
Result<> netlink_transact_once(int family, NetlinkBatch& batch);

// Asks for a list (NLM_F_DUMP) by a message of this type with the family's own header, and shows what stands
// behind the common header of each message of the answer.
Result<> netlink_dump(int family, std::uint16_t type, std::string_view header,
                      const std::function<void(std::string_view)>& visit);
// The same by a socket that is there, with a question of one message that says more (NLM_F_DUMP, not
// acknowledged).
Result<> netlink_dump(int socket, NetlinkBatch& question, const std::function<void(std::string_view)>& visit);

}  // namespace substrate::sys
