# tree_sitter_bash: the grammar that reads command lines a second time. Its generated
# parser has 10 MB, so it is fetched by name and hash and not kept here; all build
# folders share one copy.
set(SUBSTRATE_THIRD_PARTY "${CMAKE_SOURCE_DIR}/build/third_party" CACHE PATH "Where fetched sources are kept")
file(STRINGS "${CMAKE_SOURCE_DIR}/tools/dev/npm-packages.txt" pinned REGEX "^tree-sitter-bash ")
string(REGEX REPLACE "^tree-sitter-bash ([^ ]+) .*" "\\1" version "${pinned}")
set(grammar "${SUBSTRATE_THIRD_PARTY}/tree-sitter-bash-${version}/src")
if(NOT EXISTS "${grammar}/parser.c")
  execute_process(
    COMMAND "${CMAKE_SOURCE_DIR}/tools/dev/fetch_npm.sh" tree-sitter-bash "${SUBSTRATE_THIRD_PARTY}"
    RESULT_VARIABLE fetched ERROR_VARIABLE problem)
  if(NOT fetched EQUAL 0)
    message(FATAL_ERROR "${problem}")
  endif()
endif()
pkg_check_modules(TREE_SITTER REQUIRED tree-sitter)
find_library(SUBSTRATE_TREE_SITTER_ARCHIVE libtree-sitter.a REQUIRED)
add_library(tree_sitter_bash STATIC "${grammar}/parser.c" "${grammar}/scanner.c")
target_include_directories(tree_sitter_bash PRIVATE "${grammar}")
# Generated code: our warnings say nothing about it.
target_compile_options(tree_sitter_bash PRIVATE -w -O2)
target_link_libraries(tree_sitter_bash PUBLIC "${SUBSTRATE_TREE_SITTER_ARCHIVE}")
