# natively: events after the watch began: 1
# hosted: events after the watch began: 0
import ctypes, os, select

libc = ctypes.CDLL(None)
ready, go = os.pipe(), os.pipe()
done = os.pipe()
if os.fork() == 0:
    with open("held", "w") as held:
        held.write("before\n"), held.flush(), os.write(ready[1], b"x"), os.read(go[0], 1)
        held.write("after\n"), held.flush(), os.write(done[1], b"x")
    os._exit(0)
os.read(ready[0], 1)
watch = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(watch, b".", 0x2)  # IN_MODIFY
os.write(go[1], b"x"), os.read(done[0], 1)
print("events after the watch began:", len(select.select([watch], [], [], 0)[0]))
os.wait()
