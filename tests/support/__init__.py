"""What tests share. Each module opens by saying what it is for.

    fuzz_meta  wild stores into an arena's table
    storm      programs that write, and kills of all of it: a command
    harness    velo's command line under a private root, and the proof that nothing is left
    snapshot   a tree as it is, and how two differ          gauge     how much memory is in use
    project    a small project to build                     sample    a real one, fetched
    cases, scripts                run small inputs natively and hosted
    generate, sides               the oracle: scripts drawn, both sides performed and compared
    matrix, sources, registries, tools, table               real tools on real projects
    drivers, zmtp_peers           files of the library by themselves; the other end of its sockets
    shared     what the workers of one run make once
    unit_logs, bench              logs of build steps, made by hand; what seals them
    rounds, real_rounds, odd_steps    random edits and steps, replayed and natively
    mutants    rules of replay switched off one by one: a command
    fakes, hostile, arena, inside                            stand-ins for shards, clients, regions

Import it as `from support.harness import Velo`: `tests` is on pytest's path, and nothing else is.
"""
