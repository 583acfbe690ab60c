# needs: root
# natively: made
# hosted: EACCES
python3 -c '
import errno, os
os.makedirs("build/closed/below"); os.chmod("build/closed/below", 0o777)
os.chdir("build/closed/below"); os.chmod("..", 0o700)
os.setresuid(1234, 1234, 0)
try:
    os.mkdir("made")
    print("made")
except OSError as error:
    print(errno.errorcode[error.errno])'
