# Sourced by the commands beside it, each of which is one check of tests/Faults.

# Runs check $1 with the arguments that follow; 2 where it cannot be run.
check() {
  local program
  program=$(dirname "${BASH_SOURCE[0]}")/../../artifacts/bin/Registry.Faults/release/Registry.Faults
  if [[ ! -x $program ]]; then
    echo "$program is not built (dotnet build -c Release)." >&2
    exit 2
  fi
  exec "$program" "$@"
}
