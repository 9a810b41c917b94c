#!/bin/sh
# Copies of /proc what `cranalyze collect --proc DUMP PID` reads. POSIX sh and BusyBox are enough.
#
#   sh procdump.sh DUMP        makes the folder DUMP
#   sh procdump.sh DUMP.tar    makes one file
#
# As root it sees every process, otherwise one's own; what is refused is noted in the dump. Neither
# command lines nor environments nor memory are copied. Which descriptors are one open file cannot
# be told by a shell: `cranalyze procdump PID -o FILE.tar` asks kcmp(2) and writes that too.
set -u
umask 077
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ -z "$1" ]; then
    echo "usage: sh procdump.sh DUMP | DUMP.tar" >&2
    exit 2
fi
out=$1
case $out in -*) out=./$out ;; esac
proc=${PROC:-/proc}

if [ -e "$out" ] || [ -L "$out" ]; then
    echo "procdump: $out exists" >&2
    exit 2
fi
case $out in
*.tar)
    if ! command -v tar >/dev/null 2>&1; then
        echo "procdump: no tar here: give the name of a folder" >&2
        exit 2
    fi
    ;;
esac
work=$out.$$.part
mkdir "$work" || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/cranalyze" || exit 1
refused=$work/cranalyze/refused
: >"$refused" || exit 1

# A process that ended meanwhile was not refused.
refuse() { # KIND PID PATH
    if [ -d "$proc/$2/task" ]; then
        echo "13 $1 $3" >>"$refused"
    fi
}

copy_files() { # FOLDER NAME...
    folder=$1
    shift
    for name; do
        cat "$proc/$folder/$name" >"$work/$folder/$name" 2>/dev/null ||
            rm -f "$work/$folder/$name"
    done
}

# One cp for a folder: the links are copied as links, and nothing they lead to is touched.
copy_folder() { # PID FOLDER
    mkdir "$work/$2" || exit 1
    if ! ls "$proc/$2" >/dev/null 2>&1; then
        rmdir "$work/$2"
        refuse open "$1" "$2"
        return
    fi
    cp -PR "$proc/$2/." "$work/$2/" 2>/dev/null
}

# A link that may not be read leaves its name behind in the listing only.
copy_links() { # PID FOLDER
    copy_folder "$1" "$2"
    for link in "$proc/$2"/*; do
        if [ -L "$link" ]; then
            [ -L "$work/$2/${link##*/}" ] || readlink "$link" >/dev/null 2>&1 ||
                refuse link "$1" "$2"
            return
        fi
    done
}

copy_thread() { # PID FOLDER
    mkdir -p "$work/$2"
    copy_files "$2" stat status
    copy_links "$1" "$2/ns"
}

copy_descriptors() { # PID FOLDER
    copy_links "$1" "$2/fd"
    copy_folder "$1" "$2/fdinfo"
}

copy_process() { # PID
    copy_thread "$1" "$1"
    copy_files "$1" cgroup maps
    # The x keeps newlines at the end of the name.
    if exe=$(readlink -n "$proc/$1/exe" 2>/dev/null && echo x); then
        ln -s -- "${exe%x}" "$work/$1/exe"
    fi
    copy_descriptors "$1" "$1"
    copy_mounts "$1"
    for thread in "$proc/$1/task"/[0-9]*; do
        tid=${thread##*/}
        [ "$tid" = "$1" ] || [ ! -e "$thread/stat" ] || copy_other "$1" "$1/task/$tid"
    done
}

# A thread of its own descriptor table shows by other descriptors than its process has.
copy_other() { # PID FOLDER
    copy_thread "$1" "$2"
    if [ "$(ls "$proc/$1/fd" 2>&1)" != "$(ls "$proc/$2/fd" 2>&1)" ]; then
        copy_descriptors "$1" "$2"
    fi
}

# One of each mount namespace is enough.
mounts_seen=" "
copy_mounts() { # PID
    ns=$(readlink "$proc/$1/ns/mnt" 2>/dev/null) || return
    case $mounts_seen in *" $ns "*) return ;; esac
    copy_files "$1" mountinfo
    if [ -s "$work/$1/mountinfo" ]; then
        mounts_seen="$mounts_seen$ns "
    fi
}

{
    echo "format 1"
    echo "kernel $(uname -r)"
    echo "machine $(uname -m)"
    echo "host $(uname -n)"
    echo "boot_id $(cat "$proc/sys/kernel/random/boot_id" 2>/dev/null)"
    echo "collected_at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "clk_tck $(getconf CLK_TCK 2>/dev/null || echo 100)"
    echo "observer $$"
} >"$work/cranalyze/facts" || exit 1

for process in "$proc"/[0-9]*; do
    pid=${process##*/}
    [ ! -e "$process/stat" ] || copy_process "$pid"
done
: >"$work/cranalyze/complete" || exit 1

case $out in
*.tar)
    tar -cf "$work.tar" -C "$work" . || { rm -f "$work.tar"; exit 1; }
    mv "$work.tar" "$out" || exit 1
    ;;
*)
    mv "$work" "$out" || exit 1
    ;;
esac
echo "procdump: wrote $out" >&2
