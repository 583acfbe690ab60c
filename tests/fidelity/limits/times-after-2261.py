# natively: the year is 2300
# hosted: the year is 2262
import os
import time

os.mkdir("d")
os.utime("d", (10413792000, 10413792000))
print("the year is", time.gmtime(os.stat("d").st_mtime).tm_year)
