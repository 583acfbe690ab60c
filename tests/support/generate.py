"""Scripts made at random: a grammar of operations, drawn from by a seed or by Hypothesis.

    GRAMMAR: "open {fd} {path} {opens} {mode}" -> {path} is one of PATHS, ... -> a line
    lines, blocks (fork ... join) and states -> a script

In: a source of choices. Out: scripts whose results two native runs agree on. Never: an operation
that may wait for somebody (a FIFO without O_NONBLOCK), or whose outcome the kernel leaves open.

The universe is small on purpose, a few names in two directories, a few descriptors: operations must
meet each other. Choices are lists, and what stands in one more often is drawn more often.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Sequence

from .sides import STATES, Script

Choose = Callable[[Sequence[str]], str]

FILES = ["a", "b", "c", "d/a", "d/b", "e/a"]
DIRECTORIES = ["d", "e", "d/e", "."]
PLAIN = [*FILES, *FILES, "d", "e", "d/e", "l", "m", "d/l"]
SHAPES = [
    *("./a", "d/../b", "d//a", "a/", "b/", "d/", "d/.", "d/..", "d/e/..", ".", "..", "''"),
    *("@/a", "@/d/a", "@/d/../a", "@//b", "a/b", "no/a", "no/..", "a/..", "l/", "l/a", "l/.."),
    *("m/", "m/b", "{n*255}", "{n*256}", "d/{n*255}", "{d/../*600}a", "{d/../*900}a", "{./*2040}a"),
    *("{./*2100}a", "%e2%82%ac", "x%0ay"),
]
OUTSIDE = ["^/a", "^/b", "^/d", "^/d/a"]
NUMBERS = ["0", "1", "10", "100", "4095", "4096", "4097", "10000", "65536", "70001"]

KINDS: dict[str, Sequence[str]] = {
    "fd": [str(slot) for slot in range(5)],
    "at": [".", ".", ".", "0", "1", "-"],
    "dir": ["0", "1"],
    "file": ["0", "1"],
    "map": ["0", "1"],
    "name": FILES,
    "path": [*PLAIN * 6, *SHAPES, *OUTSIDE, "BAD1", "BAD2"],
    "inside": [*PLAIN * 6, *SHAPES, "NULL", "BAD2"],
    "outside": OUTSIDE,
    "directory": [*DIRECTORIES * 4, "a", "l", "no", "d/", "^"],
    "within": [*DIRECTORIES * 4, "a", "l", "no", "d/"],
    "link": ["l", "m", "d/l", "a"],
    "target": ["a", "d", "../a", "d/a", "@/a", "no", "l", "m", "l/a", "..", ".", "{t*300}", "BAD1"],
    "opens": [
        *["O_RDONLY", "O_RDWR", "O_WRONLY", "O_RDWR|O_CREAT", "O_WRONLY|O_CREAT|O_TRUNC"] * 4,
        *["O_RDWR|O_CREAT|O_EXCL", "O_WRONLY|O_APPEND|O_CREAT", "O_RDWR|O_TRUNC"] * 2,
        *("O_RDONLY|O_DIRECTORY", "O_PATH", "O_PATH|O_NOFOLLOW", "O_RDONLY|O_NOFOLLOW"),
        *("O_RDWR|O_CREAT|O_NOFOLLOW", "O_RDONLY|O_CLOEXEC", "O_RDONLY|O_CREAT|O_DIRECTORY"),
        *("O_RDONLY|O_TRUNC", "O_RDWR|O_CREAT|O_CLOEXEC|O_SYNC", "O_PATH|O_DIRECTORY"),
        *("O_RDONLY|O_CREAT|O_EXCL|O_NOFOLLOW", "O_RDWR|O_NONBLOCK", "O_WRONLY|O_DIRECTORY"),
    ],
    "mode": ["0644"] * 6 + ["0600", "0755", "0777", "0444", "0000", "0666", "04755", "02755"],
    "howmode": [*["0", "0644"] * 4, "04755", "0100644", "-1"],
    "resolve": [
        *("0", "RESOLVE_BENEATH", "RESOLVE_IN_ROOT", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_XDEV"),
        *("RESOLVE_NO_MAGICLINKS", "RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS", "RESOLVE_BENEATH", "64"),
        *("RESOLVE_IN_ROOT|RESOLVE_NO_XDEV", "RESOLVE_IN_ROOT|RESOLVE_BENEATH", "RESOLVE_IN_ROOT"),
    ],
    "dirmode": ["0755"] * 6 + ["0700", "0777", "01777", "02775", "0555", "0311"],
    "size": NUMBERS,
    "short": [*PLAIN * 3, *(shape for shape in SHAPES if "*" not in shape), *OUTSIDE],
    "little": ["0", "1", "7", "10", "100", "1000"],
    "offset": NUMBERS,
    "blocks": ["0", "4096", "8192", "65536"],
    "seed": ["1", "2", "3", "4", "5"],
    "whence": ["SEEK_SET", "SEEK_CUR", "SEEK_END"],
    "falloc": [
        *("0", "FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE"),
        *("FALLOC_FL_PUNCH_HOLE", "FALLOC_FL_ZERO_RANGE|FALLOC_FL_KEEP_SIZE"),
        *("FALLOC_FL_ZERO_RANGE", "FALLOC_FL_COLLAPSE_RANGE", "FALLOC_FL_INSERT_RANGE"),
    ],
    "statflag": ["0", "0", "AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH", "AT_NO_AUTOMOUNT"],
    "nofollow": ["0", "0", "AT_SYMLINK_NOFOLLOW"],
    "removedir": ["0", "0", "AT_REMOVEDIR"],
    "follow": ["0", "0", "AT_SYMLINK_FOLLOW"],
    "renames": ["0", "0", "RENAME_NOREPLACE", "RENAME_NOREPLACE|RENAME_EXCHANGE"],
    "statx": [
        *("STATX_BASIC_STATS", "STATX_BASIC_STATS|STATX_BTIME", "STATX_TYPE", "STATX_SIZE"),
        *("0", "0x5fff"),  # the latter with both kinds of a mount's number
    ],
    "access": ["F_OK", "R_OK", "W_OK", "X_OK", "R_OK|W_OK", "R_OK|X_OK", "9"],
    "accessflag": ["0", "0", "AT_EACCESS", "AT_SYMLINK_NOFOLLOW"],
    "id": ["-1", "-1", "0", "65534", "1000"],
    "time": ["now", "omit", "100", "500000000", "999999999", "now"],
    "second": ["1", "100", "500000000"],
    "mask": ["022", "000", "077", "027"],
    "xattrof": ["p {path}", "l {path}", "{fd} x"],
    "xattr": ["user.one", "user.two", "user.", "trusted.t", "nonsense", "user.{n*3}"],
    "xattrflag": ["0", "0", "XATTR_CREATE", "XATTR_REPLACE"],
    "fcntl": [
        *("F_GETFL 0", "F_GETFD 0", "F_SETFL O_APPEND|O_NONBLOCK", "F_SETFD FD_CLOEXEC"),
        *("F_SETFD 0", "F_DUPFD 10", "F_DUPFD_CLOEXEC 20", "F_GETLEASE 0"),
        *("F_GETPIPE_SZ 0", "F_SETFL O_NONBLOCK"),  # no lease: who opens waits for its holder
    ],
    "locks": ["F_SETLK", "F_OFD_SETLK", "F_GETLK", "F_OFD_GETLK"],
    "locktype": ["F_RDLCK", "F_WRLCK", "F_UNLCK"],
    "flocks": ["LOCK_SH", "LOCK_EX", "LOCK_UN"],
    "lockfs": ["F_TLOCK", "F_ULOCK", "F_TEST"],
    "prot": ["PROT_READ", "PROT_READ", "PROT_READ|PROT_WRITE"],
    "share": ["MAP_PRIVATE", "MAP_PRIVATE", "MAP_SHARED"],
    "page": ["0", "0", "4096"],
    "pages": ["100", "4096", "8192", "20000"],
    "stdio": ["r", "r+", "w", "w+", "a", "a+", "wx", "rb", "we", "w+x", "re"],
    "pattern": ["*", "d/*", "[ab]", "*/a", "no*", "@/*", "d/../*", "l/*", "?"],
    "physical": [
        *("FTW_PHYS", "FTW_PHYS|FTW_DEPTH", "FTW_PHYS|FTW_CHDIR", "FTW_PHYS|FTW_MOUNT"),
        "FTW_PHYS|FTW_CHDIR|FTW_DEPTH",
    ],
    "logical": ["0", "FTW_DEPTH", "FTW_CHDIR", "FTW_MOUNT"],
    "few": ["1", "2", "20"],
    "base": ["a", "b", "d", "e", "l", "m"],
    "answer": ["FTW_SKIP_SUBTREE", "FTW_SKIP_SUBTREE", "FTW_SKIP_SIBLINGS", "FTW_STOP", "7"],
    "steps": [
        *("FTS_PHYSICAL", "FTS_PHYSICAL|FTS_NOCHDIR", "FTS_LOGICAL", "FTS_PHYSICAL|FTS_SEEDOT"),
        *("FTS_PHYSICAL|FTS_NOSTAT", "FTS_LOGICAL|FTS_NOSTAT", "FTS_PHYSICAL|FTS_COMFOLLOW"),
        *("FTS_PHYSICAL|FTS_XDEV", "FTS_PHYSICAL|ORACLE_NAMES", "FTS_LOGICAL|ORACLE_SORTED"),
    ],
    "lists": [
        *("FTS_PHYSICAL", "FTS_LOGICAL", "FTS_PHYSICAL|FTS_NOCHDIR", "FTS_PHYSICAL|FTS_NOSTAT"),
        "FTS_PHYSICAL|FTS_COMFOLLOW",
    ],
    "instruction": ["FTS_SKIP", "FTS_FOLLOW", "FTS_AGAIN", "FTS_NOINSTR"],
    "at_or_none": ["-", "-", "0", "10", "4096"],
    "state": STATES,
    "events": [
        *("IN_CREATE|IN_DELETE|IN_MOVED_FROM|IN_MOVED_TO|IN_MODIFY", "IN_CLOSE_WRITE|IN_CREATE"),
        *("IN_ATTRIB|IN_MODIFY", "IN_DELETE_SELF|IN_MOVE_SELF", "IN_CREATE|IN_ONLYDIR"),
    ],
    "conf": ["_PC_NAME_MAX", "_PC_PATH_MAX", "_PC_LINK_MAX", "_PC_PIPE_BUF", "_PC_SYMLINK_MAX"],
    "special": ["S_IFREG|0644", "0600", "S_IFSOCK|0755", "S_IFDIR|0755"],
}

# Lines and how often. What each means: oracle/*.c.
GRAMMAR: dict[str, int] = {
    "open {fd} {path} {opens} {mode}": 30,
    "openat {fd} {at} {path} {opens} {mode}": 8,
    "openat2 {fd} {at} {path} {opens} {howmode} {resolve}": 4,
    "reopen {fd} {path} {opens}": 4,
    "creat {fd} {path} {mode}": 4,
    "close {fd}": 12,
    "read {fd} {size}": 8,
    "pread {fd} {size} {offset}": 4,
    "readv {fd} {size}": 2,
    "preadv2 {fd} {size} {offset} 0": 1,
    "write {fd} {size} {seed}": 16,
    "pwrite {fd} {size} {seed} {offset}": 6,
    "writev {fd} {size} {seed}": 2,
    "pwritev2 {fd} {size} {seed} {offset} 0": 1,
    "pwritev2 {fd} {size} {seed} -1 RWF_APPEND": 1,
    "dprintf {fd} word": 1,
    "lseek {fd} {offset} {whence}": 8,
    "truncate {path} {size}": 5,
    "ftruncate {fd} {size}": 5,
    "fallocate {fd} {falloc} {offset} {size}": 4,
    "fallocate {fd} {falloc} {blocks} {blocks}": 2,
    "posix_fallocate {fd} {offset} {size}": 1,
    "fsync {fd}": 1,
    "fdatasync {fd}": 1,
    "fadvise {fd} 0 0 POSIX_FADV_DONTNEED": 1,
    "readahead {fd} 0 4096": 1,
    "mkstemp {fd} tXXXXXX 0 0 {name}": 1,
    "mkstemp {fd} d/tXXXXXX.c 2 O_CLOEXEC {name}": 1,
    "mkdtemp tXXXXXX {directory}": 1,
    "mkdir {path} {dirmode}": 12,
    "mkdirat {at} {path} {dirmode}": 2,
    "rmdir {path}": 6,
    "unlink {path}": 14,
    "unlinkat {at} {path} {removedir}": 4,
    "remove {path}": 2,
    "rename {inside} {inside}": 14,
    "rename {outside} {inside}": 2,
    "closed rename {inside} {outside}": 2,
    "closed link {inside} {outside}": 2,
    "link {outside} {inside}": 2,
    "link {outside} {outside}": 1,
    "renameat {at} {inside} {at} {inside}": 2,
    "renameat2 {at} {inside} {at} {inside} {renames}": 3,
    "renameat2 {at} {inside} {at} {inside} RENAME_EXCHANGE": 2,
    "link {inside} {inside}": 8,
    "linkat {at} {inside} {at} {inside} {follow}": 3,
    "symlink {target} {inside}": 8,
    "symlinkat {target} {at} {inside}": 2,
    "readlink {path} 100": 4,
    "readlink {link} 2": 1,
    "readlinkat {at} {path} 300": 2,
    "mknod {path} {special}": 2,
    "mknodat {at} {path} {special}": 1,
    "bind 6 {name}": 1,
    "connect {path}": 1,
    "system {short} {short}": 1,
    "popen {short}": 1,
    "sync_file_range {fd} 0 0 SYNC_FILE_RANGE_WRITE": 1,
    "stat /": 1,
    "lstat @": 1,
    "stat {path}": 20,
    "lstat {path}": 10,
    "fstat {fd}": 12,
    "fstatat {at} {path} {statflag}": 5,
    "statx {at} {path} {statflag} {statx}": 4,
    "access {path} {access}": 4,
    "eaccess {path} {access}": 1,
    "faccessat {at} {path} {access} {accessflag}": 2,
    "chmod {path} {mode}": 6,
    "chmod {directory} {dirmode}": 2,
    "fchmod {fd} {mode}": 3,
    "fchmodat {at} {path} {mode} {nofollow}": 2,
    "chown {path} {id} {id}": 3,
    "lchown {path} {id} {id}": 2,
    "fchown {fd} {id} {id}": 2,
    "fchownat {at} {path} {id} {id} {statflag}": 1,
    "umask {mask}": 1,
    "utimensat {at} {path} {time} {time} {nofollow}": 5,
    "futimens {fd} {time} {time}": 3,
    "utime {path} {second} {second}": 1,
    "utimes {path} {second} {second}": 1,
    "lutimes {path} {second} {second}": 1,
    "futimes {fd} {second} {second}": 1,
    "setxattr {xattrof} {xattr} value {xattrflag}": 2,
    "getxattr {xattrof} {xattr} 100": 1,
    "getxattr {xattrof} {xattr} 0": 1,
    "listxattr {xattrof}": 2,
    "removexattr {xattrof} {xattr}": 1,
    "statfs {path}": 1,
    "fstatfs {fd}": 1,
    "statvfs {path}": 1,
    "fstatvfs {fd}": 1,
    "pathconf {path} {conf}": 1,
    "fpathconf {fd} {conf}": 1,
    "opendir {dir} {directory}": 5,
    "rewind {dir}": 3,
    "list {dir}": 4,
    "empty {dir}": 1,
    "getdents {fd}": 2,
    "fdpath {fd}": 2,
    "closedir {dir}": 2,
    "fdopendir {dir} {fd}": 2,
    "seek {dir} {little}": 1,
    "scandir {at} {directory}": 3,
    "glob {pattern} 0": 2,
    "glob {pattern} GLOB_MARK": 1,
    "ftw {directory}": 1,
    "nftw {directory} {physical} {few}": 3,
    "nftw {directory} {logical} 20": 2,
    "nftw {directory} {physical}|FTW_ACTIONRETVAL {few} {base} {answer}": 1,
    "fts {directory} {steps}": 3,
    "fts {directory},{directory} {steps} {base} {instruction}": 2,
    "fts {directory} {lists}|ORACLE_SORTED|ORACLE_CHILDREN {base} {instruction}": 2,
    "chdir {within}": 3,
    "fchdir {fd}": 1,
    "getcwd 4096": 2,
    "getcwd 3": 1,
    "realpath {short}": 3,
    "canonicalize {short}": 1,
    "flock {fd} {flocks}": 3,
    "lock {fd} {locks} {locktype} {offset} {little}": 3,
    "lockf {fd} {lockfs} {little}": 1,
    "fcntl {fd} {fcntl}": 4,
    "mmap {map} {fd} {prot} {share} {page} {pages}": 4,
    "mread {map} {little} {little}": 4,
    "msync {map} MS_SYNC": 1,
    "mremap {map} {pages}": 1,
    "munmap {map}": 1,
    "fopen {file} {path} {stdio}": 6,
    "freopen {file} {path} {stdio}": 1,
    "freopen {file} NULL {stdio}": 1,
    "fdopen {file} {fd} {stdio}": 2,
    "fclose {file}": 4,
    "fread {file} {size}": 3,
    "fwrite {file} {size} {seed}": 5,
    "fgets {file} 50": 1,
    "fprintf {file} text": 2,
    "getline {file}": 1,
    "fseek {file} {little} SEEK_SET": 1,
    "fseek {file} 0 SEEK_END": 1,
    "ftell {file}": 1,
    "fflush {file}": 2,
    "ungetc {file}": 1,
    "fileno {file} {fd}": 1,
    "dup {fd} {fd}": 4,
    "dup3 {fd} {fd} 0": 1,
    "dup3 {fd} {fd} O_CLOEXEC": 1,
    "pipe {fd} {fd}": 1,
    "copy_file_range {fd} {at_or_none} {fd} {at_or_none} {size}": 4,
    "sendfile {fd} {fd} {at_or_none} {size}": 3,
    "splice {fd} {at_or_none} {fd} {at_or_none} {size}": 1,
    "closed watch 5 {within} {events}": 3,  # what was open is announced later: docs/limits.md
    "closed watch 5 {path} {events}": 1,
    "events 5": 3,
    "ioctl {fd} FIONREAD -": 1,
    "ioctl {fd} FIGETBSZ -": 1,
    "pass {fd} {fd}": 2,
    "openfd {fd} {fd} {opens}": 3,
    "state {name} {state}": 60,
    "state {path} {state}": 4,
}
LINES = [line for line, times in GRAMMAR.items() for _ in range(times)]
# In a lane: no working directory, no umask, no user of the whole process; no path that leads out.
SHARED_BY_THREADS = (
    *("closed", "chdir", "fchdir", "umask", "getcwd", "state", "lock ", "lockf", "fts", "seek"),
)
LANE_LINES = [
    line
    for line in LINES
    if not line.startswith(SHARED_BY_THREADS) and "openfd" not in line and "{target}" not in line
]
LANE_KINDS = KINDS | {
    "path": [*PLAIN * 6, "./a", "d//a", "a/", "d/", "d/.", "a/b", "no/a", "@/a", "@/d/a"],
    "inside": [*PLAIN * 6, "./a", "d//a", "a/", "d/", "d/."],
    "at": [".", "0", "1"],
    "outside": OUTSIDE,
    "directory": [*DIRECTORIES[:3], "a", "l"],
    "pattern": ["*", "d/*"],
    "physical": ["FTW_PHYS", "FTW_PHYS|FTW_DEPTH"],
    "logical": ["0", "FTW_DEPTH"],
}
# Another user's process cannot ask a shard of root's for a file that is in the store only. What it
# takes across the border it puts itself, at all names, also in a directory that it may not search.
# A walk that ends at a name, or at a directory that it may not enter: which comes first is open.
USER_LINES = [
    line
    for line in LINES
    if not line.startswith(("closed rename", "closed link")) and "{answer}" not in line
]
# Nor does it know who else has a file open, among root's processes: what gets a name in a watched
# directory meanwhile is announced later: docs/limits.md. Either nobody watches, or all is closed.
USER_UNSEEN = [line for line in USER_LINES if not line.startswith("closed watch")]
USER_WATCHING = [
    f"closed {line}" if line.startswith(("rename", "link")) else line for line in USER_LINES
]
USER_KINDS = KINDS | {
    "state": [state for state in STATES if state != "cold"],
    # What the disk would say is asked in the directory, which may be gone, or closed to it.
    "falloc": [mode for mode in KINDS["falloc"] if "COLLAPSE" not in mode and "INSERT" not in mode],
    # Above a working directory nothing may lose its search permission: what velo does on disk for
    # a relative path it does by the absolute one.
    "path": [path for path in KINDS["path"] if not path.endswith(".")],
    # Nor through a link; nor may it close the directory of all scripts, if that is its own.
    "target": [target for target in KINDS["target"] if target not in (".", "..")],
}
BLOCKS = ("fork", "vfork", "spawn")
START = ("mkdir d 0755", "open 0 a O_RDWR|O_CREAT 0644", "write 0 100 1")
HOLE = re.compile(r"\{([a-z_]+)\}")


def operation(
    choose: Choose, lines: Sequence[str] = LINES, kinds: dict[str, Sequence[str]] = KINDS
) -> str:
    """One line: a form of the grammar with its holes filled, also those in what fills them."""
    line = choose(lines)
    while HOLE.search(line):
        line = HOLE.sub(lambda hole: choose(kinds[hole[1]]), line)
    return line


def lines_of(choose: Choose, count: int, *, as_user: bool = False) -> list[str]:
    """`count` operations, a part of them in blocks or in another thread, after a common start."""
    lines = list(START)
    words = (LINES, KINDS)
    if as_user:
        watching = choose(("unseen", "watching")) == "watching"
        words = (USER_WATCHING if watching else USER_UNSEEN, USER_KINDS)
    while len(lines) < count:
        what = choose(WHERE)
        if what in BLOCKS:
            # Its parent still has open what a child closes.
            able = [line for line in words[0] if not line.startswith("closed")]
            inside = int(choose(("1", "3", "6")))
            inner = [operation(choose, able, words[1]) for _ in range(inside)]
            lines += [what, *inner, "join"]
        elif what == "thread":
            lines.append(f"thread {operation(choose, *words)}")
        elif what == "exec":
            lines.append("exec")
        else:
            lines.append(operation(choose, *words))
    return lines


WHERE = ["here"] * 140 + ["fork"] * 3 + ["thread"] * 4 + ["vfork", "spawn", "exec"]


def script(seed: int | str, number: int, *, operations: int = 60, uid: int = 0) -> Script:
    """The script of this seed and number; the same one each time."""
    rng = random.Random(f"{seed}.{number}")
    as_user = uid != 0 or os.geteuid() != 0
    return Script(f"s{number}", tuple(lines_of(rng.choice, operations, as_user=as_user)), uid)


def lanes(seed: int | str, number: int, *, operations: int = 30, threads: int = 3) -> Script:
    """A script whose threads work at the same time, each in a directory of its own."""
    rng = random.Random(f"{seed}.{number}.lanes")
    lines = ["parallel"]
    for _ in range(threads):
        lines += ["lane", *START]
        lines += [operation(rng.choice, LANE_LINES, LANE_KINDS) for _ in range(operations)]
    return Script(f"p{number}", (*lines, "join"))


def count_of(script: Script) -> int:
    """How many of its lines are operations."""
    return sum(line not in ("join", "lane", "parallel") for line in script.lines)
