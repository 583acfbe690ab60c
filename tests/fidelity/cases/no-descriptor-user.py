# needs: root
# A process that has all the descriptors that it may have becomes another user.
import os
import resource

os.chmod(".", 0o777)
for number in range(5):
    with open(f"before{number}", "w") as file:
        file.write("root's")
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
os.rename("before0", "renamed")
os.setuid(65534)
os.close(taken[0])
print(sorted(os.listdir(".")), open("before1").read(), flush=True)
os.rename("renamed", "again")
