# Why a program cannot be run: as the kernel says it, also of names that are in memory only.
import errno
import os
import subprocess

open("file", "w").close()
os.mkdir("directory")
os.symlink("loop", "loop")
os.symlink("missing", "dangling")
paths = ["file/x", f"{os.getcwd()}/file/x", "file/", "missing/x", "directory", "loop", "dangling",
         "n" * 300, "file"]  # fmt: skip


def error_of(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


for path in paths:
    forked = error_of(subprocess.run, [path])
    spawned = error_of(os.posix_spawn, path, ["x"], {})
    print(path.replace(os.getcwd(), ".")[:20], error_of(os.execv, path, ["x"]), spawned, forked)
