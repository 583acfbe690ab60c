# needs: root
# natively: build/x1
# hosted: build/x*
python3 -c '
import ctypes, os
open("build/x1", "w").close(); os.chmod("build/x1", 0o600)
os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 0)
class Words(ctypes.Structure):
    _fields_ = [("count", ctypes.c_size_t), ("words", ctypes.POINTER(ctypes.c_char_p)), ("o", ctypes.c_size_t)]
words = Words()
ctypes.CDLL(None).wordexp(b"build/x*", ctypes.byref(words), 0)
print(words.words[0].decode())'
