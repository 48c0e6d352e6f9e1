# substrate_library(name SOURCES … HEADERS … DEPS … TESTS …)
# One flat library of src/<name>; its tests link into one program <name>_test.
# Dependencies are checked against tools/layers.toml by the layers test.
function(substrate_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;DEPS;TESTS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}/src" FILES ${arg_HEADERS})
  target_link_libraries(${name} PUBLIC substrate_flags ${arg_DEPS})
  if(SUBSTRATE_TESTS AND arg_TESTS)
    substrate_test(${name}_test SOURCES ${arg_TESTS} DEPS ${name})
  endif()
endfunction()

# substrate_test(name SOURCES … DEPS …): a GoogleTest program, one CTest entry.
# Exit 77 means skipped, with its reason on standard output. The time limit is for
# hangs only; sanitizers make a test several times slower.
function(substrate_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name})
  set(limit 300)
  if(SUBSTRATE_SANITIZE)
    set(limit 900)
  endif()
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${limit})
endfunction()

# substrate_program(name [FIXED_ADDRESS] SOURCES … DEPS …): a shipped program in bin/.
# FIXED_ADDRESS is for programs that are started for every command or world: to
# relocate a position-independent static program costs them half their start.
function(substrate_program name)
  cmake_parse_arguments(arg "FIXED_ADDRESS" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE substrate_flags ${arg_DEPS})
  if(SUBSTRATE_STATIC)
    target_link_options(${name} PRIVATE $<IF:$<BOOL:${arg_FIXED_ADDRESS}>,-static;-no-pie,-static-pie>)
  endif()
  install(TARGETS ${name} RUNTIME)
endfunction()
