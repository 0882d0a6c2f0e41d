/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_PEER_DEF_H
#define HF_BASE_MUTANTS_PEER_DEF_H

#define MUTANTS_PEER(M)                                                        \
    M(PEER_HEADER_CRC, "a frame header's checksum is not checked")             \
    M(PEER_PAYLOAD_CRC, "a frame payload's checksum is not checked")           \
    M(PEER_SALT, "frames do not depend on the connection's nonces")            \
    M(PEER_SEQ, "a frame that came already is taken again")                    \
    M(PEER_CLUSTER_ID, "a node of another cluster is let in")                  \
    M(PEER_DIRECTORY_ID, "a node with another directory is let in")            \
    M(PEER_COPY, "a second copy of a live node is let in")                     \
    M(PEER_EXPECTED_ID, "a node answers in place of another one")              \
    M(PEER_OLD_KEPT, "a peer's old connection is still read")                  \
    M(PEER_SILENCE, "a silent connection is kept for ever")                    \
    M(PEER_OLD_DROPPED, "a silent connection is not kept while dialling")      \
    M(PEER_DEAF, "that a node does not hear us is not believed")               \
    M(PEER_ONE_DIAL, "a dial waits for the one before it")                     \
    M(PEER_NO_REDIAL, "a broken connection is not dialled again")              \
    M(PEER_REFUSED_TALKS, "a refused dial counts though it talks to us")       \
    M(PEER_UNBOUNDED, "queues to a peer have no limit")                        \
    M(PEER_BULK_FIRST, "small messages wait behind large ones")                \
    M(PEER_HALF_FRAME, "a frame may take for ever to arrive")                  \
    M(SNAPX_CHUNK_CRC, "a snapshot chunk's checksum is not checked")           \
    M(SNAPX_ANY_OFFER, "chunks of another snapshot are taken")                 \
    M(SNAPX_GIVES_UP, "a snapshot that the disk refused is never taken again") \
    M(SNAPX_NO_RETRY, "a lost snapshot chunk is not pulled again")             \
    M(SNAPX_ANY_PART, "a part of another snapshot is gone on with")            \
    M(SNAPX_UNTHROTTLED, "snapshots are pulled as fast as possible")

#endif
