#!/bin/sh
# Copies of /proc what `cranalyze check --proc DUMP PID` reads, as one stream; nothing is written to
# a disk. POSIX sh, grep, ls and tar are enough (BusyBox, toybox).
#
#   ssh HOST sh -s -- -p PID < procdump.sh | cranalyze check --proc - PID
#   sh procdump.sh -o DUMP         into a file
#   sh procdump.sh -p PID          for process PID: of others only the mappings that are shared
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

# There is an end to the words of one command, and a process may have 100,000 threads or files.
in_parts() { # FUNCTION WORD...
    copy=$1 part='' words=0
    shift
    if [ $# -le 4000 ]; then
        [ $# -eq 0 ] || $copy "$@"
        return 0
    fi
    for word; do
        part="$part $word"
        words=$((words + 1))
        if [ $words -ge 4000 ]; then
            $copy $part
            part='' words=0
        fi
    done
    [ -z "$part" ] || $copy $part
}

prefix=''
copy_files() { # FILE...
    printf '### files %s\n' "$prefix"
    said "$(grep $text -H '' "$@" 2>&1 >&4)"
}

copy_folders() { # FOLDER...
    printf '### files \n'
    said "$(grep $text -rH '' "$@" 2>&1 >&4)"
}

copy_shared() { # FILE...
    printf '### files \n'
    said "$(grep $text -H '^[^ ]* [^ ]*s ' "$@" 2>&1 >&4)"
}

# As links: nothing that they lead to is touched.
copy_links() { # LINK|FOLDER...
    printf '### links\n'
    said "$(tar -cf - "$@" 2>&1 >&4)"
}

# What descriptors and working directories lead to: types, devices. A filesystem whose server is
# gone is not waited for, and without timeout(1) nothing is asked.
copy_looks() { # LINK...
    command -v timeout >/dev/null 2>&1 && command -v stat >/dev/null 2>&1 || return 0
    printf '### looked\n'
    timeout -s KILL 10 stat -L -c '%n:%f %t %T %s %d' "$@" 2>/dev/null
    printf '\n'
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

# One of each network namespace, mount namespace, and IPC namespace is enough.
spaces=' ' nets='' ipcs=''
find_spaces() { # PID...
    three='' last='' firsts=''
    for pid; do three="$three $pid/ns/net $pid/ns/mnt $pid/ns/ipc"; done
    set -f
    for word in $(ls -ld $three 2>/dev/null); do
        case $word in
        */ns/*) last=${word%%/*} ;;
        net:* | mnt:* | ipc:*)
            case $spaces in *" $word "*) continue ;; esac
            case $word in
            net:*)
                nets="$nets $last:${word#net:}"
                firsts="$firsts $last/net/unix $last/net/tcp $last/net/tcp6 $last/net/udp\
 $last/net/udp6 $last/net/raw $last/net/raw6 $last/net/netlink $last/net/packet\
 $last/net/sockstat"
                ;;
            ipc:*) ipcs="$ipcs $last:${word#ipc:}" ;;
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

# No file tells who is connected to whom by unix sockets. ss(8) asks the kernel (sock_diag(7)), of the
# network namespace that it is in.
here=$(ls -ld self/ns/net self/ns/ipc 2>/dev/null) diag=none
copy_peers() { # PID:[NUMBER]...
    command -v ss >/dev/null 2>&1 || return 0
    for net; do
        case $here in *"${net#*:}"*) into='' ;; *) into="nsenter --net=${net%%:*}/ns/net" ;; esac
        printf '### peers %s\n' "${net#*:}"
        $into ss -xan 2>/dev/null | grep $text -H '' && diag=ss
    done
}

# System V segments are listed to who is in their IPC namespace.
copy_segments() { # PID:[NUMBER]...
    for ipc; do
        case $here in *"${ipc#*:}"*) continue ;; esac
        number=${ipc#*:?}
        printf '### files cranalyze/ipc/%s/\n' "${number%]}"
        nsenter --ipc="${ipc%%:*}/ns/ipc" grep $text -H '' sysvipc/shm 2>/dev/null
    done
}

files='' links='' infos='' others='' looks='' looked=0
copy_gathered() {
    [ -z "$files" ] || in_parts copy_files $files
    [ -z "$links" ] || in_parts copy_links $links
    [ -z "$infos" ] || in_parts copy_folders $infos
    [ -z "$looks" ] || in_parts copy_looks $looks
    [ -z "$others" ] || in_parts copy_shared $others
    files='' links='' infos='' others='' looks='' looked=0
}

copy_some() { # PID...
    for pid; do
        files="$files $pid/stat $pid/status $pid/cgroup $pid/syscall"
        links="$links $pid/ns $pid/exe $pid/cwd $pid/root $pid/fd"
        infos="$infos $pid/fdinfo"
        set -- "$pid/fd"/*
        looks="$looks $pid/cwd $pid/root $*"
        looked=$((looked + $#))
        if [ $looked -ge 3000 ]; then # to gather 4000 word by word would take longer than to ask
            in_parts copy_looks $looks
            looks='' looked=0
        fi
        case $inside in
        all | *" $pid "*) files="$files $pid/maps" ;;
        *) others="$others $pid/maps" ;;
        esac
        set -- "$pid/task"/*
        [ $# -le 1 ] || add_threads "$@"
    done
    copy_gathered
}

copy_all() { # PID...
    find_spaces "$@"
    copy_some "$@"
    [ -z "$firsts" ] || in_parts copy_files $firsts
    copy_peers $nets
    copy_segments $ipcs
    nets='' ipcs=''
}

# A thread of its own descriptor table shows by other descriptors than its process has. Of a process
# with many of both not all are compared: kcmp(2) tells them, and what is lacking is a gap then.
add_threads() { # TASK...
    own=$(cd "$pid/fd" 2>/dev/null && echo *)
    threads=0 left=$((200000 - ${#own}))
    for task; do
        threads=$((threads + 1))
        [ $((threads % 1000)) -ne 0 ] || copy_gathered
        tid=${task##*/}
        [ "$tid" != "$pid" ] || continue
        files="$files $task/stat $task/status $task/syscall"
        links="$links $task/ns"
        left=$((left - ${#own}))
        if [ $left -gt 0 ] && [ "$(cd "$task/fd" 2>/dev/null && echo *)" != "$own" ]; then
            links="$links $task/fd"
            infos="$infos $task/fdinfo"
        fi
    done
}

# What is one object: kcmp(2), in the words of cranalyze/identities. It orders as well as compares.
by_perl() { # NUMBER OF THE CALL
    perl -e '
use strict;
my ($call, @out) = (shift);
my %kind = (FILE => 0, VM => 1, FILES => 2, FS => 3, SIGHAND => 4);
sub ask { my ($x, $y, $k) = @_; syscall($call, $x->[0]+0, $y->[0]+0, $k+0, $x->[1]+0, $y->[1]+0) }
exit 1 if ask([$$, 0], [$$, 0], 1) != 0;
sub classes {
    my ($k, @m) = @_;
    my (@order, @number, %failed);
    my $n = 0;
    for my $i (0 .. $#m) {
        my ($low, $high, $same) = (0, scalar @order, -1);
        while ($low < $high) {
            my $middle = int(($low + $high) / 2);
            my $got = ask($m[$i], $m[$order[$middle]], $k);
            if ($got == 0) { $same = $order[$middle]; last }
            elsif ($got == 1) { $high = $middle }
            elsif ($got == 2) { $low = $middle + 1 }
            else {
                my $code = $got < 0 ? $! + 0 : 22;
                if (ask($m[$i], $m[$i], $k) != 0 or $code == 22) { $failed{$i} = $code; last }
                splice(@order, $middle, 1);  # the other one went away
                ($low, $high) = (0, scalar @order);
            }
        }
        $number[$i] = -1;
        next if exists $failed{$i};
        if ($same >= 0) { $number[$i] = $number[$same] }
        elsif (ask($m[$i], $m[$i], $k) != 0) { $failed{$i} = $! + 0 }
        else { splice(@order, $low, 0, $i); $number[$i] = $n++ }
    }
    return (\@number, \%failed);
}
sub names { opendir(my $d, $_[0]) or return (); my @n = grep { /^[0-9]+$/ } readdir $d; @n }
sub told {
    open(my $f, "<", "$_[0]/stat") or return ();
    local $/;
    my @w = split / /, (<$f> =~ /.*\) (.*)/s)[0] || "X";
    return ($w[0] =~ /[ZX]/ || ($w[6] || 0) & 4, ($w[6] || 0) & 0x200000);
}
my (@tasks, %folder, %process);
for my $pid (sort { $a <=> $b } names(".")) {
    for my $tid (sort { ($a != $pid) <=> ($b != $pid) || $a <=> $b } names("$pid/task")) {
        my $at = $tid == $pid ? $pid : "$pid/task/$tid";
        my ($gone, $kernel) = told($at) or next;
        push @tasks, [$tid, $gone, $kernel];
        ($folder{$tid}, $process{$tid}) = ($at, $pid);
    }
}
my %table;
for my $what ("FILES", "FS", "VM", "SIGHAND") {
    my @m = grep { !($what ne "SIGHAND" && $_->[1]) && !($what eq "VM" && $_->[2]) } @tasks;
    my ($number, $failed) = classes($kind{$what}, map { [$_->[0], 0] } @m);
    my %users;
    for my $i (0 .. $#m) { $users{$number->[$i]}{$process{$m[$i][0]}} = 1 }
    for my $i (0 .. $#m) {
        my ($tid, $n) = ($m[$i][0], $number->[$i]);
        # Those that gave theirs up meanwhile are all equal: they have none.
        my ($gone) = keys %{$users{$n}} > 1 ? (told($folder{$tid}), 1) : 0;
        my $code = $failed->{$i} || ($gone && $what ne "SIGHAND" ? 3 : 0);
        push @out, $code ? "$what $tid error $code\n" : "$what $tid $n\n";
        $table{$n}{$process{$tid}} ||= $tid if $what eq "FILES" && !$code;
    }
}
my %alike;
for my $n (sort { $a <=> $b } keys %table) {
    my @also = sort { $a <=> $b } values %{$table{$n}};
    for my $fd (sort { $a <=> $b } names("$folder{$also[0]}/fd")) {
        my $link = readlink "$folder{$also[0]}/fd/$fd";
        push @{$alike{$link}}, [$also[0], $fd, \@also] if defined $link;
    }
}
my $first = 0;
for my $link (sort keys %alike) {
    my @m = @{$alike{$link}};
    next if @m < 2;
    my ($number, $failed) = classes(0, @m);
    for my $i (0 .. $#m) {
        my $said = exists $failed->{$i} ? "error $failed->{$i}" : $first + $number->[$i];
        push @out, map { "FILE $_ $m[$i][1] $said\n" } @{$m[$i][2]};
    }
    $first += @m;
}
print "### identities perl\n", @out;
' "$1" 2>/dev/null
}

by_python3() { # NUMBER OF THE CALL
    python3 -c '
import ctypes, os, sys
call, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)
libc.syscall.restype, libc.syscall.argtypes = ctypes.c_long, [ctypes.c_long] * 6
def ask(x, y, k):
    got = libc.syscall(call, x[0], y[0], k, x[1], y[1])
    return got, ctypes.get_errno()
if ask((os.getpid(), 0), (os.getpid(), 0), 1)[0] != 0:
    sys.exit(1)
def classes(k, m):
    order, number, failed, n = [], [], {}, 0
    for i in range(len(m)):
        low, high, same = 0, len(order), -1
        while low < high:
            middle = (low + high) // 2
            got, code = ask(m[i], m[order[middle]], k)
            if got == 0:
                same = order[middle]
                break
            if got in (1, 2):
                low, high = (low, middle) if got == 1 else (middle + 1, high)
                continue
            code = code if got < 0 else 22
            if code == 22 or ask(m[i], m[i], k)[0] != 0:
                failed[i] = code
                break
            del order[middle]  # the other one went away
            low, high = 0, len(order)
        number.append(number[same] if same >= 0 else -1)
        if i in failed or same >= 0:
            continue
        got, code = ask(m[i], m[i], k)
        if got != 0:
            failed[i] = code
            continue
        order.insert(low, i)
        number[i], n = n, n + 1
    return number, failed
def names(folder):
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except OSError:
        return []
def told(folder):
    try:
        with open(folder + "/stat", "rb") as file:
            word = file.read().rpartition(b")")[2].split()
        return word[0] in (b"Z", b"X") or bool(int(word[6]) & 4), bool(int(word[6]) & 0x200000)
    except (OSError, IndexError, ValueError):
        return None
tasks, folder, process, out = [], {}, {}, []
for pid in names("."):
    for tid in sorted(names("%d/task" % pid), key=lambda tid: (tid != pid, tid)):
        at = str(pid) if tid == pid else "%d/task/%d" % (pid, tid)
        state = told(at)
        if state:
            tasks.append((tid, state[0], state[1]))
            folder[tid], process[tid] = at, pid
table = {}
for k, what in ((2, "FILES"), (3, "FS"), (1, "VM"), (4, "SIGHAND")):
    m = [t for t in tasks if (k == 4 or not t[1]) and not (k == 1 and t[2])]
    number, failed = classes(k, [(t[0], 0) for t in m])
    users = {}
    for n, t in zip(number, m):
        users.setdefault(n, set()).add(process[t[0]])
    for i, (n, t) in enumerate(zip(number, m)):
        # Those that gave theirs up meanwhile are all equal: they have none.
        gone = len(users[n]) > 1 and (told(folder[t[0]]) or (True,))[0]
        code = failed.get(i) or (3 if gone and k != 4 else 0)
        out.append("%s %d %s\n" % (what, t[0], "error %d" % code if code else n))
        if k == 2 and not code:
            table.setdefault(n, {}).setdefault(process[t[0]], t[0])
alike = {}
for n in sorted(table):
    also = sorted(table[n].values())
    for fd in names(folder[also[0]] + "/fd"):
        try:
            link = os.readlink("%s/fd/%d" % (folder[also[0]], fd))
        except OSError:
            continue
        alike.setdefault(link, []).append((also[0], fd, also))
first = 0
for link in sorted(alike):
    m = alike[link]
    if len(m) < 2:
        continue
    number, failed = classes(0, m)
    for i, one in enumerate(m):
        said = "error %d" % failed[i] if i in failed else str(first + number[i])
        out += ["FILE %d %d %s\n" % (tid, one[1], said) for tid in one[2]]
    first += len(m)
sys.stdout.write("### identities python3\n" + "".join(out))
' "$1" 2>/dev/null
}

tell_identities() {
    by=none
    case $(uname -m) in
    x86_64) call=312 ;;
    aarch64 | riscv64 | loongarch64) call=272 ;;
    ppc64*) call=354 ;;
    s390x) call=343 ;;
    *) call='' ;;
    esac
    if [ -n "$call" ]; then
        for tool in ${KCMP:-perl python3}; do
            command -v "$tool" >/dev/null 2>&1 || continue
            if "by_$tool" $call; then
                by=$tool
                break
            fi
        done
    fi
    printf '### facts\nkcmp %s\n' "$by"
}

# Where nobody asks kcmp(2), offsets and the like tell files apart: those that do not move, which two
# readings show. The second ones come after all first ones.
copy_again() { # FILE|FOLDER...
    printf '### files cranalyze/again/\n'
    grep $text -rH '' "$@" 2>/dev/null
}

read_again() {
    twice=''
    for pid in $all; do twice="$twice $pid/status $pid/fdinfo"; done
    in_parts copy_again $twice
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
if [ -n "$root" ]; then
    find_inside
    echo "subject $root"
fi
some='' count=0
all=$(echo [0-9]*)
for pid in $all; do
    some="$some $pid"
    count=$((count + 1))
    if [ $count -ge 200 ]; then
        copy_all $some
        some='' count=0
    fi
done
[ -z "$some" ] || copy_all $some
printf '### facts\nsock_diag %s\n' "$diag"
tell_identities
[ "$by" != none ] || read_again
# Who came meanwhile: what that has is not in the dump.
in_parts copy_again [0-9]*/stat
copy_files stat locks swaps sysvipc/msg sysvipc/sem sysvipc/shm \
    sys/kernel/pid_max sys/kernel/threads-max sys/kernel/sem sys/kernel/shmmax sys/kernel/shmall \
    sys/kernel/shmmni sys/kernel/msgmax sys/kernel/msgmnb sys/kernel/msgmni \
    sys/fs/file-max sys/fs/file-nr sys/fs/nr_open sys/user/max_user_namespaces
if cd /sys 2>/dev/null; then
    set -- block/loop*/loop/backing_file
    prefix=cranalyze/sys/
    [ ! -e "$1" ] || copy_files "$@"
fi
printf '### end\nended_at %s\n' "$(now)"
[ -z "$out" ] || echo "procdump: wrote $out" >&2
