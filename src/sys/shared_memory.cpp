#include "sys/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace substrate::sys {
namespace {

// Without them the other side could cut the file, and a look at the mapping would be a SIGBUS.
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

Result<std::pair<SharedMemory, UniqueFd>> SharedMemory::make(const char* name, std::size_t size) {
    UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) return fail(Error::last_os("memfd_create", name));
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail(Error::last_os("ftruncate", name));
    if (::fcntl(fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0)
        return fail(Error::last_os("fcntl F_ADD_SEALS", name));
    SUB_TRY_ASSIGN(SharedMemory memory, open(fd.get(), size));
    return std::pair(std::move(memory), std::move(fd));
}

Result<SharedMemory> SharedMemory::open(int fd, std::size_t size) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return fail(Error::last_os("fstat", "shared memory"));
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (st.st_size < static_cast<off_t>(size) || seals < 0 || (seals & kSizeSeals) != kSizeSeals)
        return fail({Errc::invalid, "this is no shared memory of a fixed size"});
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return fail(Error::last_os("mmap", "shared memory"));
    return SharedMemory(at, size);
}

SharedMemory::~SharedMemory() {
    if (at_ != nullptr) ::munmap(at_, size_);
}

}  // namespace substrate::sys
