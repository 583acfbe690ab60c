"""Interpose: the shared memory itself, and the way into other people's programs.

    core/           C: the namespace in shared memory, the only code that touches an arena's bytes
    preload/        C: the library that a program loads, one file per family of calls
    core.py         Python door to the core, over _coremodule.c [touches shared memory]
    launch.py       a program's environment, and where the library is [reads files]

A program inside calls open(); the preload asks the core; the core answers from memory. Python
comes here only to watch, to move bytes to disk, and to start programs.

Never: import `velo.shards` or `velo.router`; they look down on this room, not it up to them.
"""
