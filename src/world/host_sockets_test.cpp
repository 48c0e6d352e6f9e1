#include "world/host_sockets.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/unique_fd.hpp"

namespace substrate::world {
namespace {

TEST(HostSockets, NamesThatArePaths) {
    const auto names = bound_names(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "00000000a5dec762: 00000002 00000000 00010000 0001 01 15488826 /run/one\n"
        "0000000055b387c4: 00000003 00000000 00000000 0001 03 15488827\n"
        "00000000306e581c: 00000002 00000000 00010000 0005 01     7 @abstract\n"
        "00000000306e581c: 00000002 00000000 00010000 0002 01 15489396 relative/name\n"
        "00000000042e629d: 00000002 00000000 00010000 0001 01 15489370 /with a  space \n"
        "truncated: 0000\n\n /too few columns\n");
    EXPECT_EQ(names, (std::vector<std::string>{"/run/one", "/with a  space "}));
}

sys::UniqueFd bound_to(const std::string& name, int type) {
    sys::UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << name;
    return fd;
}

void connect_to(const sys::UniqueFd& fd, const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << name;
}

// Whatever of the two lists was asked.
TEST(HostSockets, ThoseThatSomebodyCanReach) {
    char directory[] = "/tmp/host_sockets.XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    const auto at = [&](const char* name) { return std::string(directory) + "/" + name; };
    const auto listener = bound_to(at("listener"), SOCK_STREAM),
               packets = bound_to(at("packets"), SOCK_SEQPACKET),
               datagrams = bound_to(at("datagrams"), SOCK_DGRAM),
               not_yet = bound_to(at("not yet"), SOCK_STREAM);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    ASSERT_EQ(::listen(packets.get(), 1), 0);
    // Who has connected to it makes it look connected; anybody else may send to it as before.
    const sys::UniqueFd client(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    connect_to(client, at("datagrams"));
    const auto names = bound_socket_names(std::chrono::seconds(0));
    ASSERT_TRUE(names) << names.error().message();
    for (const char* name : {"listener", "packets", "datagrams", "not yet"}) {
        EXPECT_NE(std::ranges::find(*names, at(name)), names->end()) << name;
        ::unlink(at(name).c_str());
    }
    ::rmdir(directory);
}

TEST(HostSockets, ThoseThatAreThere) {
    char directory[] = "/tmp/host_sockets.XXXXXX";
    ASSERT_NE(::mkdtemp(directory), nullptr);
    const std::string path = std::string(directory) + "/socket", gone = std::string(directory) + "/gone";
    std::vector<sys::UniqueFd> kept;
    for (const std::string& name : {path, gone}) kept.push_back(bound_to(name, SOCK_DGRAM));
    ASSERT_EQ(::unlink(gone.c_str()), 0);
    const std::string link = std::string(directory) + "/link";
    ASSERT_EQ(::symlink("socket", link.c_str()), 0);
    const auto looked = look_at_sockets({path, gone, link, directory}, ::geteuid());
    EXPECT_EQ(looked[0].problem, "");
    EXPECT_NE(looked[0].identity, 0U);
    EXPECT_EQ(looked[1].problem, "it does not exist");
    EXPECT_EQ(looked[2].problem, "a symbolic link is on the way to it; name " + path);
    EXPECT_EQ(looked[3].problem, "it is no socket");
    if (::geteuid() != 0) {
        EXPECT_EQ(look_at_sockets({path}, ::geteuid() + 1)[0].problem, "");
        ASSERT_EQ(::chmod(directory, 0777), 0);
        EXPECT_NE(look_at_sockets({path}, ::geteuid() + 1)[0].problem, "");
    }
    ASSERT_EQ(::unlink(link.c_str()), 0);
    const auto found = host_sockets();
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_NE(std::ranges::find(*found, path), found->end());
    EXPECT_EQ(std::ranges::find(*found, gone), found->end());
    EXPECT_TRUE(std::ranges::is_sorted(*found));
    ::unlink(path.c_str());
    ::rmdir(directory);
}

}  // namespace
}  // namespace substrate::world
