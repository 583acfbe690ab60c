"""Replay: a build step whose inputs did not change is not run again.

The preload library writes down what a step asks and makes (interpose/preload/replay/log.h); here
that becomes an entry, which the library finds the next time (interpose/preload/replay/index.h).

    <arena>/r/*.f -> unit_log.read -> analysis.analyse -> sealer -> index (mapped by all programs)
                                                        \\-> blobs, image (they survive the arena)

Doors:   sealer.Sealer, used by `velo exec`; ledger, what is kept of it, read by `velo explain`
         and `velo stats`; upkeep, `velo replay`.
Behind:  unit_log, the log's records [pure]; analysis, inputs and outputs, or why not [pure];
         questions, what it asked, as facts [pure]; programs, which program may ask what [pure];
         outcomes, what a user is told [pure]; facts, what a path is now, and finder, for all steps
         of a pass [touch disk]; entries, the index's bytes read [pure]; index,
         the same written, and its image; compaction, the same without what is too much [pure];
         blobs, outputs in the store; commons, what its workspaces share; clones, entries of one
         that are true of another, portable, of which that is so, and kinship, whose [touch disk].
Never:   an entry of a step that was not seen whole, or of which an input changed meanwhile.
"""
