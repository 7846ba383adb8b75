# Sourced by the commands beside it.

# Runs check $1 of tests/Faults with the arguments that follow; 2 where it cannot be run.
check() {
  local program
  program=$(dirname "${BASH_SOURCE[0]}")/../../artifacts/bin/Registry.Faults/release/Registry.Faults
  if [[ ! -x $program ]]; then
    echo "$program is not built (dotnet build -c Release)." >&2
    exit 2
  fi
  exec "$program" "$@"
}

# Sets REPLY to a port that is free, and below those that the kernel gives to clients: one of them would be gone before the
# server is there.
free_port() {
  while REPLY=$((18000 + RANDOM % 14000)); do
    (: <"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null || return 0
  done
}

# Makes a check that is a test already: its name, what it shows, filters of tests/Api.Tests (xunit's own), --, the arguments of
# the command. What clients send is judged before a database or store is reached, so there is one configuration.
tested() {
  local name=$1 shown=$2 filters=() program log on=both code
  shift 2
  while [[ $1 != -- ]]; do filters+=("$1"); shift; done
  shift
  while (( $# )); do
    case $1 in
      --on) on=${2-}; shift $(( $# > 1 ? 2 : 1 )) ;;
      --rounds|--seed) shift $(( $# > 1 ? 2 : 1 )) ;;
      --smoke) shift ;;
      --help|-h)
        echo "usage: tests/faults/$name [--on embedded] [--smoke]"
        echo
        echo "  $shown"
        echo "  A test run is this too. One summary line; exit code 0: everything held, 1: something did not, 2: it cannot be run here."
        exit 0 ;;
      *) "${BASH_SOURCE[1]}" --help >&2; exit 64 ;;
    esac
  done
  program=$(dirname "${BASH_SOURCE[0]}")/../../artifacts/bin/Registry.Api.Tests/release/Registry.Api.Tests
  if [[ ! -x $program ]]; then
    echo "$program is not built (dotnet build -c Release)." >&2
    exit 2
  fi
  if [[ $on == production ]]; then
    echo "$name says nothing about this configuration"
    exit 2
  fi
  log=$("$program" -noColor -noLogo "${filters[@]}" 2>&1)
  code=$?
  # No test at all is no success.
  if (( code == 0 )) && [[ $log =~ Total:\ ([1-9][0-9]*),\ Errors:\ 0,\ Failed:\ 0,\ Skipped:\ 0 ]]; then
    printf '%-18s %-10s %-7s %s\n' "$name" embedded ok "${BASH_REMATCH[1]} tests: $shown"
    exit 0
  fi
  printf '%s\n' "$log" >&2
  printf '%-18s %-10s %-7s %s\n' "$name" embedded FAILED "$shown"
  exit 1
}
