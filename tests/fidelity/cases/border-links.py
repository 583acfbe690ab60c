# Names that are deeper than any path says: a link of a hosted file is the same file there.
import os

deep = "/".join(["d" * 200] * 20)
os.makedirs(deep)
name = f"{deep}/{'n' * 60}"


def told(path):
    with open(path) as file:
        return file.read(), os.stat(path).st_nlink


with open("file", "w") as file:
    file.write("one\n")
os.link("file", name)
print(told("file"), told(name), os.path.samestat(os.stat("file"), os.stat(name)))
with open("file", "a") as file:
    file.write("two\n")
print(told("file"), told(name))
with open(name, "a") as file:
    file.write("three\n")
print(told("file"), told(name))
os.unlink("file")
print(told(name), os.listdir("."))
os.rename(name, "back")
print(told("back"), os.listdir(deep))
os.mkdir("directory")
for call in (os.rename, os.link):
    try:
        print(call("missing", name))
    except OSError as error:
        print(call.__name__, error.strerror)
held = open("held", "w")
held.write("first\n")
held.flush()
os.rename("held", name)
held.write("second\n")
held.close()
print(told(name), os.listdir(deep), sorted(os.listdir(".")))
os.rename(name, "at-last")
for _ in range(20):  # one at a time, since no path says them all
    os.chdir("d" * 200)
for _ in range(20):
    os.chdir("..")
    os.rmdir("d" * 200)
print(sorted(os.listdir(".")), told("at-last"))
