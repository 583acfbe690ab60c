# ruff: noqa: I001 - setuptools brings its own distutils, and must come first
"""How the C in this package is compiled; everything else is in pyproject.toml.

Two shared objects from the same core:
  _core     the extension module behind velo.interpose.core
  libvelo   the preload library: shaped like an extension module so that setuptools builds, names
            and ships it, never imported, and depending on libc alone
and one program, `velo` (BuildLauncher).

The sources are globbed, so a new file is picked up by being there. Each object is compiled apart
for each of the two, because they are compiled differently.
"""

import copy
import glob
import os
import re
import tempfile

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from distutils.ccompiler import new_compiler
from distutils.command.build_scripts import build_scripts
from distutils.sysconfig import customize_compiler


# interpose/Makefile builds the same without Python: flags that change code belong in both places.
COMMON = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"]
# initial-exec: an access to thread-local storage must never allocate. Null checks stay: a wrapper
# must look at pointers that libc's headers promise are never NULL.
LIBRARY = ["-U_FORTIFY_SOURCE", "-ftls-model=initial-exec", "-fno-plt", "-fno-stack-protector"]
LIBRARY += ["-fno-delete-null-pointer-checks", "-Wno-nonnull-compare", "-DVELO_GATED"]
LIBRARY_LINK = ["-Wl,--as-needed", "-Wl,-Bsymbolic-functions", "-Wl,-z,noseparate-code"]
LIBRARY_LINK += ["-Wl,--hash-style=gnu", "-Wl,-z,now", "-Wl,--no-undefined"]
# Each arena holds a copy, which counts: 0.4 MB without what debuggers read, 2.7 MB with it. Names
# of functions stay; interpose/Makefile builds the same with everything.
LIBRARY_LINK += ["-Wl,--strip-debug"]
HEADERS = sorted(
    glob.glob("interpose/**/*.h", recursive=True) + glob.glob("interpose/**/*.def", recursive=True)
)
MODULE = sorted(glob.glob("interpose/_core*.c"))
# Folders are floors (ARCHITECTURE.md); both objects have all but the preload library's own.
SHARED = [
    path
    for floor in ("kernel", "wire", "core")
    for path in sorted(glob.glob(f"interpose/{floor}/**/*.c", recursive=True))
]
PRELOAD = sorted(glob.glob("interpose/preload/**/*.c", recursive=True))
CALLS = "interpose/preload/calls.def"


class BuildApart(build_ext):
    """Objects of each extension in a directory of their own, extensions side by side."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def build_extension(self, ext):
        alone = copy.copy(self)
        alone.build_temp = os.path.join(self.build_temp, ext.name)
        # A run path of Python's own build would have the loader look for libc there, in every
        # process that the library is preloaded into.
        alone.compiler = copy.copy(self.compiler)
        alone.compiler.linker_so = [
            word for word in self.compiler.linker_so if not word.startswith("-Wl,-rpath")
        ]
        if ext.name == "velo.interpose.libvelo":
            ext.extra_link_args.append(f"-Wl,--version-script={self._exports()}")
        super(BuildApart, alone).build_extension(ext)

    def _exports(self):
        """What libvelo exports: the functions of libc in calls.def, and nothing else.

        No version name: a versioned definition would not meet programs' references to GLIBC_2.x.
        """
        with open(CALLS) as file:
            rows = re.findall(r"^LIBC\((\w[^)]*)\)", file.read(), re.M)
        names = [name.strip() for row in rows for name in row.split(",")]
        path = os.path.join(self.build_temp, "symbols.map")
        self.mkpath(self.build_temp)
        with open(path, "w") as file:
            file.write(f"{{ global: {'; '.join(names)}; local: *; }};\n")
        return path


class BuildLauncher(build_scripts):
    """The program `velo`, which is no script: interpose/launcher.c says why."""

    def run(self):
        compiler = new_compiler()
        customize_compiler(compiler)
        self.mkpath(self.build_dir)
        with tempfile.TemporaryDirectory() as beside:
            objects = compiler.compile(
                self.scripts,
                output_dir=beside,
                include_dirs=["interpose"],
                extra_postargs=COMMON,
            )
            compiler.link_executable(
                objects,
                "velo",
                output_dir=self.build_dir,
                extra_postargs=["-Wl,-z,now"],  # binding takes 3 KB of a stack that may have 16
            )


setup(
    cmdclass={"build_ext": BuildApart, "build_scripts": BuildLauncher},
    scripts=["interpose/launcher.c", "interpose/kernel/sha256.c"],
    ext_modules=[
        Extension(
            "velo.interpose._core",
            sources=[*MODULE, *SHARED],
            include_dirs=["interpose"],
            depends=HEADERS,
            extra_compile_args=COMMON,
        ),
        Extension(
            "velo.interpose.libvelo",
            sources=SHARED + PRELOAD,
            include_dirs=["interpose"],
            depends=HEADERS,
            extra_compile_args=COMMON + LIBRARY,
            extra_link_args=LIBRARY_LINK,
        ),
    ],
)
