# Directories called build/ beyond what the table of hosted ones holds: long paths, and some hundred.
import os

here = os.getcwd()
for length in (400, 480, 500, 700, 1500, 3000):
    parts = ["p" * 39] * (length // 40)
    os.makedirs(os.path.join(*parts, "build"), exist_ok=True)
    os.chdir(os.path.join(*parts))
    with open("build/a", "w") as file:
        file.write("written\n")
    os.rename("build/a", "build/b")
    print(length, open("build/b").read(), os.listdir("build"))
    os.chdir(here)
for number in range(280):
    os.makedirs(f"packages/{number}/build/x")
    with open(f"packages/{number}/build/x/out", "w") as file:
        file.write(str(number))
print(sum(int(open(f"packages/{number}/build/x/out").read()) for number in range(280)))
