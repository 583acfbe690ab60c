# needs: root
# natively: fresh
# hosted: missing
python3 -c '
import os, subprocess
with open("build/fresh", "w") as file:
    file.write("fresh")
os.chmod(".", 0o755)
os.chdir("build")
os.seteuid(65534)
print(subprocess.run(["cat", "fresh"], capture_output=True).stdout.decode() or "missing")'
