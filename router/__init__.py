"""Router: the front desk of velo. It knows clients and shards, and nothing about their files.

One server process per workspace creates the arena and starts the shards. It hands each request to
the shard it is for, and joins the answers to requests that concern all shards. The command line is
the other half: it finds or starts that server, runs a program inside, and shows what happened.

    velo CMD -> cli -> group -> commands -> client -(router.sock)-> server -> dispatcher -> shards
    velo exec -> cli -> execute -> client, child                  server -> supervisor -^

Doors:   cli.main, the `velo` command [process]; lifecycle.serve, be a server [process]; daemon,
         the same, detached [process]; config.load, what the user asked for [reads files]; client,
         find or start a server and ask it; execute, `velo exec` step by step [process].
Serving: server, the one loop; door, its sockets [sockets]; zmtp, what peers say [pure]; dispatcher,
         every request under way and the answers it waits for [pure]; shard_map,
         path -> shard [pure]; supervisor, shards that die and come back [processes];
         forked, the first ones, forks of the server [processes];
         adoption, an arena made or adopted; arena, its paths and the locks on it [files];
         sessions, the processes inside [files].
Asking:  group and commands/, one file per command; options, their flags; child, one program with
         its signals [process]; reexec, velo inside velo; doctor, what it checks; report,
         `velo status` as text [pure]; units, sizes and durations [pure]; errors [pure].
         The frames themselves are `velo.shards.wire`: the lowest room that needs them has them.

Never:   open, read or write a hosted file; import zmq, sqlite or a shard on the way of `velo exec`.
"""

VERSION = "0.1.0"  # pyproject.toml has it from here; asking importlib.metadata costs a server 35 ms
