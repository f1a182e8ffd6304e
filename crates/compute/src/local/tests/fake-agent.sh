#!/bin/sh
# Stands for redtrove-guestagent in the tests of the local provider: called as `fake-agent.sh --config FILE`, it
# holds a lock in its directory, notes each start that got the lock, and starts a process that outlives it.
node=$(dirname "$2")/node
exec 9>>"$node/lock"
flock --nonblock 9 || exit 0
trap 'exit 0' TERM
env 9>&- >"$node/environment"
echo "$$" >>"$node/starts"
if [ ! -e "$node/server" ]; then
    sleep 1000 9>&- &
    echo "$!" >"$node/server"
fi
while :; do
    sleep 1 9>&- &
    wait "$!"
done
