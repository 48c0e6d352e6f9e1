# substrate_fuzzer(name SOURCES … DEPS …): a libFuzzer program in fuzzers/ of the
# build folder. Its starting inputs are the files of tests/fuzz/corpus/<name>, its
# dictionary, if it has one, is tests/fuzz/<name>.dict; tools/dev/fuzz.sh finds both.
add_custom_target(fuzzers)
function(substrate_fuzzer name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE substrate_flags ${arg_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzzers")
  add_dependencies(fuzzers ${name})
endfunction()
