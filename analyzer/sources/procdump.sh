#!/bin/sh
# Copies of /proc what `cranalyze check --proc DUMP PID` reads, as one stream; nothing is written to
# a disk. POSIX sh, grep, ls and tar are enough (BusyBox, toybox).
#
#   ssh HOST sh -s -- -p PID < procdump.sh | cranalyze check --proc - PID
#   sh procdump.sh -o DUMP         into a file
#   sh procdump.sh -p PID          of the mappings only those of process PID and its descendants
#
# As root it sees every process, otherwise one's own; what is refused is noted in the dump. Neither
# command lines nor environments nor memory are copied. Which descriptors are one open file cannot
# be told by a shell: where there is perl or python3, that asks kcmp(2), and the dump says which.
# shellcheck disable=SC2086,SC2013,SC2045,SC2034 # lists of numbers and of paths made of them
set -u
umask 077
LC_ALL=C
export LC_ALL

usage() {
    echo "usage: sh procdump.sh [-p PID] [-o DUMP]   (to stdout, for a pipe, without -o)" >&2
    exit 2
}

out='' root=''
while getopts o:p: option; do
    case $option in
    o) out=$OPTARG ;;
    p) root=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || usage
case $root in *[!0-9]*) usage ;; esac

for tool in grep ls tar; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "procdump: no $tool here" >&2
        exit 2
    fi
done
if [ -n "$out" ]; then
    case $out in -*) out=./$out ;; esac
    if [ -e "$out" ] || [ -L "$out" ]; then
        echo "procdump: $out exists" >&2
        exit 2
    fi
    exec 4>"$out" || exit 2
elif [ -t 1 ]; then
    usage
else
    exec 4>&1
fi
exec >&4
cd "${PROC:-/proc}" || exit 1

# Whatever the version, bytes that are no text are not to stop it.
text=''
if echo x | grep -a x >/dev/null 2>&1; then text=-a; fi

# What a tool said of what it could not read is told after what it printed.
said() {
    [ -z "$1" ] || printf '### said\n%s\n' "$1"
}

copy_files() { # PREFIX FILE...
    printf '### files %s\n' "$1"
    shift
    said "$(grep $text -H '' "$@" 2>&1 >&4)"
}

copy_folders() { # FOLDER...
    printf '### files \n'
    said "$(grep $text -rH '' "$@" 2>&1 >&4)"
}

# As links: nothing that they lead to is touched.
copy_links() { # LINK|FOLDER...
    printf '### links\n'
    said "$(tar -cf - "$@" 2>&1 >&4)"
}

# Which processes are PID and its descendants: INSIDE is a list with blanks around each.
find_inside() {
    tree='' pid=''
    for word in $(grep -H '^PPid:' [0-9]*/status 2>/dev/null); do
        case $word in
        *:PPid:) pid=${word%%/*} ;;
        *) tree="$tree $pid:$word" ;;
        esac
    done
    case "$tree " in
    *" $root:"*) ;;
    *)
        echo "procdump: there is no process $root" >&2
        exit 1
        ;;
    esac
    inside=" $root " before=''
    while [ "$inside" != "$before" ]; do
        before=$inside
        for pair in $tree; do
            case $inside in
            *" ${pair%:*} "*) ;;
            *" ${pair#*:} "*) inside="$inside${pair%:*} " ;;
            esac
        done
    done
}

# One of each network namespace, and of each mount namespace, is enough.
spaces=' '
find_spaces() { # PID...
    links='' last='' firsts=''
    for pid; do links="$links $pid/ns/net $pid/ns/mnt"; done
    set -f
    for word in $(ls -ld $links 2>/dev/null); do
        case $word in
        */ns/*) last=${word%%/*} ;;
        net:* | mnt:*)
            case $spaces in *" $word "*) continue ;; esac
            case $word in
            net:*) firsts="$firsts $last/net/unix $last/net/tcp $last/net/tcp6 $last/net/udp\
 $last/net/udp6 $last/net/raw $last/net/raw6 $last/net/netlink $last/net/packet" ;;
            mnt:*)
                # A process that has ended meanwhile, or may not be read, is not the one.
                { read -r line <"$last/mountinfo"; } 2>/dev/null || continue
                firsts="$firsts $last/mountinfo"
                ;;
            esac
            spaces="$spaces$word "
            ;;
        esac
    done
    set +f
}

copy_some() { # PID...
    files='' links='' infos=''
    for pid; do
        files="$files $pid/stat $pid/status $pid/cgroup"
        links="$links $pid/ns $pid/exe $pid/cwd $pid/root $pid/fd"
        infos="$infos $pid/fdinfo"
        case $inside in all | *" $pid "*) files="$files $pid/maps" ;; esac
        set -- "$pid/task"/*
        [ $# -le 1 ] || add_threads "$@"
    done
    copy_files '' $files
    copy_links $links
    copy_folders $infos
}

# A thread of its own descriptor table shows by other descriptors than its process has.
add_threads() { # TASK...
    own=$(cd "$pid/fd" 2>/dev/null && echo *)
    for task; do
        tid=${task##*/}
        [ "$tid" != "$pid" ] || continue
        files="$files $task/stat $task/status"
        links="$links $task/ns"
        if [ "$(cd "$task/fd" 2>/dev/null && echo *)" != "$own" ]; then
            links="$links $task/fd"
            infos="$infos $task/fdinfo"
        fi
    done
}

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

printf '# dump of /proc: a stream of cranalyze\n### facts\n'
echo "format 1"
echo "kernel $(uname -r)"
echo "machine $(uname -m)"
echo "host $(uname -n)"
echo "boot_id $(cat sys/kernel/random/boot_id 2>/dev/null)"
echo "collected_at $(now)"
echo "clk_tck $(getconf CLK_TCK 2>/dev/null || echo 100)"
echo "observer $$"
echo "uid $(id -u 2>/dev/null)"

inside=all
[ -z "$root" ] || find_inside
some='' count=0
all=$(echo [0-9]*)
for pid in $all; do
    some="$some $pid"
    count=$((count + 1))
    if [ $count -ge 200 ]; then
        find_spaces $some
        copy_some $some
        [ -z "$firsts" ] || copy_files '' $firsts
        some='' count=0
    fi
done
if [ -n "$some" ]; then
    find_spaces $some
    copy_some $some
    [ -z "$firsts" ] || copy_files '' $firsts
fi
copy_files '' locks swaps sysvipc/msg sysvipc/sem sysvipc/shm \
    sys/kernel/pid_max sys/kernel/threads-max sys/kernel/sem sys/kernel/shmmax sys/kernel/shmall \
    sys/kernel/shmmni sys/kernel/msgmax sys/kernel/msgmnb sys/kernel/msgmni \
    sys/fs/file-max sys/fs/file-nr sys/fs/nr_open sys/user/max_user_namespaces
if cd /sys 2>/dev/null; then
    set -- block/loop*/loop/backing_file
    [ ! -e "$1" ] || copy_files cranalyze/sys/ "$@"
fi
printf '### end\nended_at %s\n' "$(now)"
[ -z "$out" ] || echo "procdump: wrote $out" >&2
