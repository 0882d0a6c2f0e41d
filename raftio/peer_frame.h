/* Bytes of the peer protocol: frames and handshake. Pure; docs/FORMATS.md has
 * the layout in prose.
 *
 * Frame, integers little-endian:
 *
 *   offset  bytes  field
 *        0      4  header_crc   CRC-32C of bytes 4..31, seeded with the salt
 *        4      4  payload_crc  CRC-32C of the payload
 *        8      4  payload_len  at most FRAME_PAYLOAD_MAX
 *       12      1  kind         enum frame_kind
 *       13      1  class        enum peer_class
 *       14      1  type         of the message; the owner's
 *       15      1  flags        FRAME_FIRST, FRAME_LAST
 *       16      8  seq          1, 2, ... per connection and direction
 *       24      4  message_len  of the whole message
 *       28      4  reserved     zero, else refused
 *       32      -  payload
 *
 * The salt is 0 for HELLO, WELCOME and REFUSE. Later frames use one made of
 * both sides' nonces, so that a recorded connection cannot be played again. */
#ifndef HF_RAFTIO_PEER_FRAME_H
#define HF_RAFTIO_PEER_FRAME_H

#include "raftio/peer.h"

enum frame_kind {
    FRAME_HELLO = 1,   /* dialler's first */
    FRAME_WELCOME = 2, /* acceptor's answer */
    FRAME_READY = 3,   /* dialler: seen, from here on salted */
    FRAME_REFUSE = 4,  /* either side: reason, then the end */
    FRAME_PING = 5,    /* either side when it has nothing to say */
    FRAME_MSG = 6,
};

enum {
    FRAME_HEADER = PEER_FRAME_HEADER,
    FRAME_PAYLOAD_MAX = LIM_PEER_CHUNK - FRAME_HEADER,
    FRAME_HELLO_MAX = 1024, /* payload of a handshake frame */
    PING_HEARD = 0,         /* types of a PING: the other side is heard, */
    PING_UNHEARD = 1,       /* nothing has come from it for silence_ms */
    FRAME_FIRST = 1,
    FRAME_LAST = 2,
};

struct frame {
    uint32_t payload_crc;
    uint32_t payload_len;
    enum frame_kind kind;
    enum peer_class class;
    uint8_t type;
    uint8_t flags;
    uint64_t seq;
    uint32_t message_len;
};

void frame_encode(uint8_t out[FRAME_HEADER],
                  const struct frame *f,
                  uint32_t salt);
/* Only the header: 0, HF_EAGAIN (too few bytes), HF_ECORRUPT. */
int frame_header_decode(struct bytes b, uint32_t salt, struct frame *f);
/* Header and payload, which then starts at b.p + FRAME_HEADER. */
int frame_decode(struct bytes b, uint32_t salt, struct frame *f);

enum hello_purpose { HELLO_MEMBER = 0, HELLO_QUESTION = 1 };

struct hello {
    uint16_t version_min;
    uint16_t version_max;
    enum hello_purpose purpose;
    struct peer_ident who;
    uint64_t expected_id; /* of the other side; 0: not known */
    uint64_t nonce;
    uint32_t features;
};

/* Payload of HELLO and WELCOME. */
void hello_encode(struct buf *out, const struct hello *h);
/* 0, HF_ECORRUPT, HF_EVERSION (a later version's; only the version range is
 * filled in). Bytes after the known fields are a later version's: ignored. */
int hello_decode(struct bytes b, struct hello *h);

uint32_t frame_salt(uint64_t dialler_nonce,
                    uint64_t acceptor_nonce,
                    bool to_dialler);

/* May the two talk as members? NULL: yes. Else @reason, filled in, from the
 * view of @self. @dialled: the id meant by a dialler, 0 for an acceptor.
 * @pinned: directory id known for h->who.node_id, or NULL. */
const char *hello_refusal(const struct peer_ident *self,
                          const struct hello *h,
                          uint64_t dialled,
                          const uint8_t *pinned,
                          char reason[PEER_REASON_MAX]);

/* In no cluster yet: may only ask and answer questions. */
bool peer_ident_blank(const struct peer_ident *w);

#endif
