/* The undo log of a data directory: what a power cut could take back.
 *
 * undo.so (preloaded into a node) appends one record per step; powercut
 * (run when the node is dead) reads them and takes back a seeded choice of
 * what no sync has made durable. Both run on one machine: native integers.
 *
 * A record: struct undo_record, then `len` bytes of data where the kind has
 * some. The log is appended with one write() a step; a cut last record is a
 * step that had not begun. */
#ifndef HF_TESTS_FAULT_UNDO_H
#define HF_TESTS_FAULT_UNDO_H

#include <stdint.h>

enum undo_kind {
    UNDO_SECTOR = 1, /* ino, off: about to be overwritten; data = before */
    UNDO_EXTEND,     /* ino, off = old size, a = new: about to grow */
    UNDO_DURABLE,    /* ino, off, a: these a bytes are safe (O_DSYNC) */
    UNDO_SYNC,       /* ino: all written to the file is safe */
    UNDO_CREATE,     /* ino = directory, a = file; data = path */
    UNDO_MKDIR,      /* ino = directory; data = path */
    UNDO_RENAME,     /* ino = directory; data = from NUL to NUL kept NUL,
                        kept: a link to what was at `to`, or "" */
    UNDO_UNLINK,     /* ino = directory; data = path NUL kept NUL */
    UNDO_UNMODELLED, /* data = name of a call that this does not follow: the
                        run proves nothing */
};

enum { UNDO_SECTOR_BYTES = 512, UNDO_DATA_MAX = 3 * 4096 };

struct undo_record {
    uint32_t kind;
    uint32_t len;
    uint64_t ino;
    uint64_t off;
    uint64_t a;
};

#endif
