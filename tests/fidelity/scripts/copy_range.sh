# copy_file_range between a hosted file and a plain one: to the program one file system.
python3 - <<'PY'
import errno, os
def copy(source, target, count, *offsets):
    total = 0
    while count > total:
        try:
            done = os.copy_file_range(source, target, count - total, *offsets)
        except OSError as error:
            return errno.errorcode[error.errno]
        if done == 0:
            break
        total += done
        if offsets:
            break
    return total
def look(path):
    with open(path, "rb") as file:
        data = file.read()
    return len(data), data[:4], data[-4:], sum(data)
with open("build/hosted", "wb") as file:
    file.write(bytes(range(256)) * 8192)
for source, target in (("build/hosted", "src/plain"), ("src/plain", "build/back"),
                       ("build/back", "build/twice")):
    with open(source, "rb") as a, open(target, "wb") as b:
        print(copy(a.fileno(), b.fileno(), 1 << 30), a.tell(), os.lseek(b.fileno(), 0, 1))
    print(target, look(target))
with open("src/plain", "rb") as a, open("build/back", "r+b") as b:
    print(copy(a.fileno(), b.fileno(), 1000, 300, 5), a.tell(), b.tell(), look("build/back"))
    print(copy(a.fileno(), b.fileno(), 1000, 1 << 30, 5))
with open("src/plain", "rb") as a, open("build/back", "ab") as b, open("build/back", "rb") as c:
    print(copy(a.fileno(), b.fileno(), 10), copy(a.fileno(), c.fileno(), 10))
PY
