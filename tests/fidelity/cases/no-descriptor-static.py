# needs: gcc
# A process that has all the descriptors that it may have starts programs that cannot be entered.
import os
import resource
import subprocess

READS = """
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words)
{
    char line[80] = "nothing";
    FILE *file = fopen(words[count - 1], "r");
    if (file != NULL)
        fgets(line, sizeof line, file);
    printf("%s: %s\\n", words[count - 1], line);
    return unlink("gone") != 0;
}
"""


def run(start, *words):
    status = os.waitpid(start(words), 0)[1]
    os.path.exists("gone")  # the disk cannot be compared with memory: no directory can be opened
    os.closerange(36, 40)  # now it can
    print(words[-1], status, os.path.exists("gone"), flush=True)
    for number in range(36, 40):
        os.dup2(0, number, inheritable=False)


def by_fork(words):
    pid = os.fork()
    if pid == 0:
        os.execv(words[0], words)
    return pid


def by_spawn(words):
    return os.posix_spawn(words[0], words, os.environ)


with open("reads.c", "w") as file:
    file.write(READS)
subprocess.run(["gcc", "-static", "-o", "reads", "reads.c"], check=True)
with open("script", "w") as file:
    file.write(f"#!{os.path.abspath('reads')}\nits text\n")
os.chmod("script", 0o755)
names = [f"n{number}" for number in range(6)] + [f"gone{number}" for number in range(6)]
for name in names:
    with open(name, "w") as file:
        file.write(name)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True:
        os.dup(0)
except OSError:
    pass
for number, start in enumerate((by_fork, by_spawn) * 3):
    os.rename(f"gone{number}", "gone")
    os.rename(f"n{number}", f"m{number}")
    run(start, *(("./script",) if number > 3 else ("./reads",)), f"m{number}")
for number in range(3, 40):
    os.set_inheritable(number, True)
os.symlink("m0", "link")
run(by_spawn, "./reads", "link")
