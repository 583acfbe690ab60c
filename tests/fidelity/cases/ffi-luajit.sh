# LuaJIT's foreign functions: of the program, and of libc by its name
# needs: luajit
cat > t.lua <<'L'
local ffi = require("ffi")
ffi.cdef [[
int open(const char *, int, ...);
int close(int);
long read(int, void *, unsigned long);
int rename(const char *, const char *);
int access(const char *, int);
typedef struct FILE FILE;
FILE *fopen(const char *, const char *);
int fputs(const char *, FILE *);
int fclose(FILE *);
]]
for _, libc in ipairs { ffi.C, ffi.load("libc.so.6") } do
    local file = io.open("build/a", "w")
    file:write("hello\n")
    file:close()
    local fd, text = libc.open("build/a", 0), ffi.new("char[64]")
    print(fd >= 0, fd >= 0 and tonumber(libc.read(fd, text, 63)), libc.close(fd))
    print(libc.rename("build/a", "build/b"), libc.access("build/b", 4), io.open("build/b") ~= nil)
    local stream = libc.fopen("build/c", "w")
    libc.fputs("text\n", stream)
    libc.fclose(stream)
    print(io.open("build/c"):read("*a"))
end
L
luajit t.lua
ls build
