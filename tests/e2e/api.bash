# shellcheck shell=bash
# For the suites whose tests are functions of a client in Python. Source after common.bash.

api_setup() {
    need_program python3
    python3 -c 'import jsonschema, yaml' 2>/dev/null || skip 'python3-jsonschema or python3-yaml is missing'
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
}
more_setup() { api_setup; }
# policy ID TEXT: what a policy of one's own says besides its id.
policy() { printf 'id: %s\n%s\n' "$1" "$2" >"$SUBSTRATE_HOME/policies/$1.yaml"; }
# client NAME TEST [ARGUMENTS]: one test of NAME_client.py, with an agent that runs.
client() {
    substrate world warm >/dev/null
    python3 "$BATS_TEST_DIRNAME/$1_client.py" "${@:2}"
}
