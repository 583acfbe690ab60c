# a child of root that became another user: what root made at once, and what that user may not
# needs: root
import os
import stat
import subprocess

os.umask(0)
os.chmod(".", 0o755)


def show(name):
    found = os.lstat(name)
    print(name, oct(found.st_mode), found.st_uid, found.st_gid)


def attempt(what, *arguments):
    try:
        print(what.__name__, what(*arguments))
    except OSError as error:
        print(what.__name__, error.strerror)


def write(name):
    with open(name, "a") as file:
        file.write("more\n")


def run(name, **options):
    return subprocess.run([name], capture_output=True, check=False, **options).stdout


# There and back again: who can go back is still the one he was.
os.mkdir("closed", 0o700)
write("closed/secret")
os.seteuid(65534)
attempt(os.setresuid, 1, 2, 3)
attempt(write, "closed/secret")
os.seteuid(0)
attempt(write, "closed/secret")
print(open("closed/secret").read())

# What root just made runs at once, or not, as its mode says.
for mode in (0o755, 0o711, 0o700):
    with open("program", "w") as file:
        file.write("#!/bin/sh\necho ran\n")
    os.chmod("program", mode)
    attempt(run, "./program")
    for step in ({"user": 65534}, {"user": 65534, "group": 65534, "extra_groups": []}):
        try:
            print(oct(mode), run("./program", **step))
        except OSError as error:
            print(oct(mode), error.strerror)

# In a set-group-ID directory of a group that the user is not in.
os.mkdir("shared")
os.chown("shared", 65534, 11)
os.chmod("shared", 0o2777)
write("readable")
os.chmod("readable", 0o644)


def become(*calls):
    pid = os.fork()
    if pid == 0:
        for call, *arguments in calls:
            getattr(os, call)(*arguments)
        for mode in (0o666, 0o2777, 0o2776):
            os.close(os.open("shared/f%o" % mode, os.O_CREAT | os.O_WRONLY, mode))
            show("shared/f%o" % mode)
        os.mkdir("shared/below", 0o777)
        show("shared/below")
        attempt(write, "readable")
        attempt(os.listdir, "closed")
        attempt(os.unlink, "readable")
        os._exit(0)
    os.waitpid(pid, 0)
    for name in sorted(os.listdir("shared")):
        show("shared/" + name)
        (os.rmdir if stat.S_ISDIR(os.lstat("shared/" + name).st_mode) else os.unlink)("shared/" + name)


become(("setgroups", []), ("setgid", 65534), ("setuid", 65534))
become(("setresgid", 65534, 65534, 65534), ("setresuid", 65534, 65534, 65534))
become(("setreuid", 65534, 65534),)
