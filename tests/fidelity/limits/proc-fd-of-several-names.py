# natively: names that were opened: 3
# hosted: names that were opened: 1
import os

open("a", "w").close(), os.link("a", "b"), os.link("a", "c")
files = [open(name) for name in "abc"]
shown = [os.path.basename(os.readlink(f"/proc/self/fd/{file.fileno()}")) for file in files]
print("names that were opened:", sum(name == given for name, given in zip(shown, "abc")))
