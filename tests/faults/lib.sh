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
