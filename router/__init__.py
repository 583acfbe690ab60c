"""Router: the front desk of velo. It knows who is where, and nothing about what they hold.

One server process per workspace creates the arena, starts the shards, hands each request to the
shard it is for and joins the answers of those that concern them all. The command line is the
other half: it finds or starts that server, runs a program inside, and shows what happened.

    velo CMD -> cli -> cmd_* -> client -> (router.sock) -> server -> desk -> (shards.sock) -> shard
                                             server -> supervisor -> python -m velo.shards.worker

Doors:   cli.main, the `velo` command [process]; server.serve, the router itself [process];
         config.load, what the user asked for [reads files]; client, find or start a server.
Behind:  desk, every request under way and who still has to answer [pure]; ring, path -> shard;
         supervisor, shards that die and come back [processes]; arena, the paths of an arena and
         the locks on it [files]; sessions, who is inside; quantity, sizes and durations [pure];
         cmd_*, one file per command; report, `velo status` as text [pure]; errors [pure].
         The frames themselves are `velo.shards.wire`: the lowest room that needs them has them.

Never:   open, read or write a hosted file; import zmq, sqlite or a shard on the way of `velo exec`.
"""
