# A file that is moved out of a hosted directory by who writes it.
python3 - <<'PY'
import os
with open("build/a", "w+b") as file:
    twin = os.dup(file.fileno())
    file.write(b"before ")
    file.flush()
    os.rename("build/a", "src/out")
    file.write(b"after")
    file.flush()
    os.write(twin, b" twin")
    print(os.fstat(twin).st_size, os.path.samestat(os.fstat(twin), os.stat("src/out")))
    os.rename("src/out", "build/back")
    file.write(b" home")
    print(os.path.exists("build/a"), os.listdir("build"))
os.close(twin)
print(open("build/back").read())
PY
