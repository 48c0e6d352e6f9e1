# Compiler settings shared by every target.

option(SUBSTRATE_TESTS "Build the tests" ON)
option(SUBSTRATE_BENCH "Build the benchmark programs" OFF)
option(SUBSTRATE_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(SUBSTRATE_STATIC "Link the shipped programs statically" ON)
option(SUBSTRATE_WERROR "Treat warnings as errors" ON)
set(SUBSTRATE_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, comma separated")

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

add_library(substrate_flags INTERFACE)
target_include_directories(substrate_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(substrate_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-qual -Wformat=2 -Wundef
  $<$<BOOL:${SUBSTRATE_WERROR}>:-Werror>
  # -Wrestrict of g++ 12 is wrong about std::string's operator+ (GCC PR 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers -Wno-restrict>
  # libstdc++ 12 deprecates what its own stable_sort uses; only g++ knows to keep quiet there.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-designated-field-initializers -Wno-gnu-zero-variadic-macro-arguments
    -Wno-deprecated-declarations>
  -fstack-protector-strong
  # What is not called is left out of the programs: fewer pages to fault in at each start.
  $<$<CONFIG:Release>:-ffunction-sections;-fdata-sections>)
target_link_options(substrate_flags INTERFACE $<$<CONFIG:Release>:-Wl,--gc-sections>)
target_compile_definitions(substrate_flags INTERFACE
  _GNU_SOURCE SUBSTRATE_VERSION="${PROJECT_VERSION}")

if(SUBSTRATE_SANITIZE)
  set(SUBSTRATE_STATIC OFF)
  target_compile_options(substrate_flags INTERFACE
    -fsanitize=${SUBSTRATE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(substrate_flags INTERFACE -fsanitize=${SUBSTRATE_SANITIZE})
else()
  # Sanitizers do not see through the checked variants, hence only without.
  target_compile_definitions(substrate_flags INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
endif()

if(SUBSTRATE_FUZZ)
  # Coverage feedback in every library; the fuzz targets add the driver itself.
  target_compile_options(substrate_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(substrate_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(SUBSTRATE_LLD ld.lld)
find_program(SUBSTRATE_MOLD mold)
if(SUBSTRATE_MOLD)
  # Only lld knows the order that a target's SYMBOL_ORDER asks for.
  target_link_options(substrate_flags INTERFACE
    -fuse-ld=$<IF:$<BOOL:$<TARGET_PROPERTY:SYMBOL_ORDER>>,lld,mold>)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
# Debian ships fmt as a shared library only; the shipped programs are static,
# so its implementation header is compiled once here.
add_library(substrate_fmt STATIC "${CMAKE_SOURCE_DIR}/cmake/fmt_archive.cpp")
get_target_property(fmt_includes fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(substrate_fmt SYSTEM PUBLIC ${fmt_includes})
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SECCOMP REQUIRED libseccomp)
pkg_check_modules(XXHASH REQUIRED libxxhash)
pkg_check_modules(IDN2 REQUIRED libidn2)
# A static libidn2 needs it, and names it in no .pc file of its own.
list(APPEND IDN2_LIBRARIES unistring)
pkg_check_modules(CARES REQUIRED libcares)
# It comes without a .pc file. The archive, as below: a static program takes no shared library.
find_library(LDNS_LIBRARIES libldns.a REQUIRED)
# yaml-cpp's own CMake target is the shared library.
find_library(SUBSTRATE_YAML_ARCHIVE libyaml-cpp.a REQUIRED)
add_library(substrate_yaml INTERFACE)
target_link_libraries(substrate_yaml INTERFACE "${SUBSTRATE_YAML_ARCHIVE}")
find_library(SUBSTRATE_CRYPTO_ARCHIVE libcrypto.a REQUIRED)
add_library(substrate_crypto INTERFACE)
target_link_libraries(substrate_crypto INTERFACE "${SUBSTRATE_CRYPTO_ARCHIVE}" ${CMAKE_DL_LIBS})
# Edits lines at a terminal. The archives, as above, with those that libedit's needs.
add_library(substrate_edit INTERFACE)
foreach(name edit tinfo bsd md)
  find_library(SUBSTRATE_EDIT_${name}_ARCHIVE lib${name}.a REQUIRED)
  target_link_libraries(substrate_edit INTERFACE "${SUBSTRATE_EDIT_${name}_ARCHIVE}")
endforeach()
if(SUBSTRATE_TESTS)
  find_package(GTest REQUIRED)
endif()
