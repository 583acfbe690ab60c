"""Shards: which files leave memory, and how they reach the disk.

A shard is one process that answers for one slice of the files in the arena. Clients read and
write the shared memory themselves. A shard makes room in it, brings back evicted files, puts dirty
files at their real paths and into the store, and frees what dead processes left.

    frame in -> wire.decode -> ops.<verb> (lru, flush <-> core -> cas, manifest) -> frame out
    clock    -> schedule -----^

Doors:   worker.main, run one shard [process]; wire, the frames [pure]; errors [pure];
         cas.Store, the content-addressed store [touches disk]; depot, whose its directory is;
         collector, what of it is removed; roots, what of it is needed.
Behind:  ops, one function per verb, alone changes state; lru, which files leave first [pure];
         schedule, what is due when [pure];
         flush, to the tree and the store; manifest, one sqlite each; reaper,
         what the dead left; worker_thread, the second thread; stats, the shard's part of status.

Never:   the only copy of anything. A shard that is killed is started again and finds in the arena
         what it needs to know: states, versions, ticks, digests.

Why processes: hashing and compressing use all cores, and one that crashes delays the flushes of
its slice and nothing else.
"""
