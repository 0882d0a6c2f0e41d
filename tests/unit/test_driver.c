/* The consensus driver, one at a time, with its peers and its disk played by
 * the test. What needs a whole cluster is in tests/sim/raft_sim.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>

#include "base/err.h"
#include "raftio/driver.h"

enum { SENT_MAX = 256, TOKENS_MAX = 64, ELECTION_MS = LIM_ELECTION_MS };

struct fixture {
    struct driver d;
    uint64_t now;
    uint64_t timer;
    struct raft_msg sent[SENT_MAX];
    unsigned sent_n;
    unsigned delivered;
    uint64_t tokens[TOKENS_MAX];
    unsigned tokens_n;
    uint64_t applied;
    uint64_t vote_term;
    unsigned installs;
    uint64_t read_first;
    unsigned read_n;
    uint64_t read_token;
    int probe_ok; /* -1: not ended */
    const char *fatal;
};

static void on_vote(void *o, uint64_t term, uint64_t vote)
{
    ((struct fixture *)o)->vote_term = term;
    (void)vote;
}

static void on_append(void *o,
                      uint64_t first,
                      const struct entry *e,
                      unsigned n,
                      uint64_t token)
{
    struct fixture *f = o;

    (void)first;
    (void)e;
    (void)n;
    assert_true(f->tokens_n < TOKENS_MAX);
    f->tokens[f->tokens_n++] = token;
}

static void on_install(void *o, const struct snap_meta *m)
{
    (void)m;
    ((struct fixture *)o)->installs++;
}

static void on_send(void *o, const struct raft_msg *m)
{
    struct fixture *f = o;

    assert_true(f->sent_n < SENT_MAX);
    raft_msg_copy(&f->sent[f->sent_n++], m);
}

static void on_read_log(void *o, uint64_t first, unsigned n, uint64_t token)
{
    struct fixture *f = o;

    f->read_first = first;
    f->read_n = n;
    f->read_token = token;
}

static void on_apply(void *o, uint64_t index, const struct entry *e)
{
    struct fixture *f = o;

    (void)e;
    assert_int_equal(index, f->applied + 1);
    f->applied = index;
}

static void on_timer(void *o, uint64_t at_ms)
{
    ((struct fixture *)o)->timer = at_ms;
}

static void on_news(void *o)
{
    (void)o;
}

static void on_probe_done(void *o, uint64_t round, bool ok, uint64_t index)
{
    (void)round;
    (void)index;
    ((struct fixture *)o)->probe_ok = ok;
}

static void on_fatal(void *o, const char *why)
{
    ((struct fixture *)o)->fatal = why;
}

static const struct driver_ops OPS = {
    .persist_vote = on_vote,
    .append = on_append,
    .install = on_install,
    .send = on_send,
    .read_log = on_read_log,
    .apply = on_apply,
    .timer = on_timer,
    .state = on_news,
    .config = on_news,
    .probe_done = on_probe_done,
    .fatal = on_fatal,
};

/* ---- playing the peers and the disk ---- */

static void forget_sent(struct fixture *f)
{
    for (unsigned i = 0; i < f->sent_n; i++) {
        raft_msg_release(&f->sent[i]);
    }
    f->sent_n = 0;
}

/* The newest message of @kind to @to, or NULL. */
static const struct raft_msg *sent(struct fixture *f, int kind, uint64_t to)
{
    for (unsigned i = f->sent_n; i-- > 0;) {
        if (f->sent[i].kind == kind && f->sent[i].to == to) {
            return &f->sent[i];
        }
    }
    return NULL;
}

static void disk_catches_up(struct fixture *f)
{
    for (unsigned i = 0; i < f->tokens_n; i++) {
        driver_appended(&f->d, f->now, f->tokens[i]);
    }
    f->tokens_n = 0;
}

static void receive(struct fixture *f, uint64_t from, struct raft_msg m)
{
    driver_receive(&f->d, f->now, from, &m);
}

static struct raft_msg append_msg(uint64_t term,
                                  uint64_t prev,
                                  uint64_t prev_term,
                                  uint64_t commit,
                                  struct entry *e,
                                  unsigned n)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_APPEND;
    m.term = term;
    m.append.prev_index = prev;
    m.append.prev_term = prev_term;
    m.append.commit = commit;
    m.entries = e;
    m.n_entries = n;
    return m;
}

static void result(struct fixture *f,
                   uint64_t from,
                   uint64_t rejected,
                   uint64_t last)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_APPEND_RESULT;
    m.version = 2;
    m.term = driver_term(&f->d);
    m.append_result.rejected = rejected;
    m.append_result.last_index = last;
    receive(f, from, m);
}

static struct entry command(uint64_t term)
{
    struct entry e = {term, ENTRY_COMMAND, {NULL, 0}, NULL};

    e.blob = blob_copy("payload!", 8);
    e.data = blob_bytes(e.blob);
    return e;
}

/* Voters 1 to @voters; the next ids are standbys up to @all. */
static struct entry change_of(uint64_t term, unsigned voters, unsigned all)
{
    struct conf c = {0};
    struct entry e;

    for (unsigned i = 1; i <= all; i++) {
        c.m[c.n++] =
            (struct conf_member){i, i <= voters ? CONF_VOTER : CONF_STANDBY};
    }
    driver_bootstrap_entry(&c, &e);
    e.term = term;
    return e;
}

static void unref(struct entry *e, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        entry_unref(&e[i]);
    }
}

static void begin_with(struct fixture *f,
                       uint64_t id,
                       uint64_t term,
                       unsigned voters,
                       unsigned commands,
                       const struct driver_config *cfg)
{
    struct entry e[8];

    assert_true(commands < 8);
    memset(f, 0, sizeof *f);
    f->now = 1000;
    f->probe_ok = -1;
    driver_init(&f->d, id, &OPS, f, cfg);
    e[0] = change_of(1, voters, voters);
    for (unsigned i = 1; i <= commands; i++) {
        e[i] = command(term);
    }
    assert_int_equal(
        driver_start(&f->d, f->now, term, 0, NULL, 1, e, commands + 1), 0);
    unref(e, commands + 1);
}

/* Node 1 of @voters in @term, with @commands after the first entry. */
static void begin(struct fixture *f,
                  uint64_t term,
                  unsigned voters,
                  unsigned commands)
{
    struct driver_config cfg;

    driver_config_default(&cfg);
    cfg.seed = 7;
    begin_with(f, 1, term, voters, commands, &cfg);
}

static void end(struct fixture *f)
{
    forget_sent(f);
    driver_release(&f->d);
    free(f);
}

/* The next time something is due: a follower also wakes up in between, only
 * to notice whether it slept. */
static void tick(struct fixture *f)
{
    bool waits = driver_role(&f->d) == DRIVER_FOLLOWER && f->d.early_at == 0;
    uint64_t due = waits ? raft_timeout(&f->d.r) : 0;

    do {
        f->now = f->timer > f->now ? f->timer : f->now;
        driver_timeout(&f->d, f->now);
    } while (f->now < due && f->timer > f->now);
}

/* Node 2 votes yes, and 3 if @both. */
static void grant(struct fixture *f, bool both)
{
    const struct raft_msg *asked = sent(f, RMSG_VOTE, 2);
    struct raft_msg m;

    assert_non_null(asked);
    memset(&m, 0, sizeof m);
    m.kind = RMSG_VOTE_RESULT;
    m.version = 2;
    m.term = asked->term;
    m.vote_result.granted = true;
    m.vote_result.pre_vote = asked->vote.pre_vote;
    forget_sent(f);
    receive(f, 2, m);
    if (both) {
        receive(f, 3, m);
    }
}

static void grant_votes(struct fixture *f)
{
    grant(f, true);
}

/* Elected, its barrier durable but not yet acknowledged. */
static void elect(struct fixture *f)
{
    tick(f);
    grant_votes(f); /* would you? */
    grant_votes(f); /* do you? */
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    disk_catches_up(f);
}

/* Elected, with everything committed and applied. */
static void elect_ready(struct fixture *f)
{
    elect(f);
    result(f, 2, 0, driver_last(&f->d));
    result(f, 3, 0, driver_last(&f->d));
    assert_true(driver_ready(&f->d));
    forget_sent(f);
}

static uint64_t submit(struct fixture *f)
{
    struct entry e = command(0);
    uint64_t index = 0;

    assert_int_equal(driver_submit(&f->d, f->now, &e, 1, &index), 0);
    entry_unref(&e);
    return index;
}

static struct fixture *fixture(void)
{
    return calloc(1, sizeof(struct fixture));
}

/* ---- elections, replication, restart ---- */

/* A majority of votes makes a leader whose first entry opens it for work. */
static void election_and_barrier(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect(f);
    assert_false(driver_ready(&f->d));
    assert_int_equal(driver_change(&f->d, f->now, 4, CONF_SPARE), HF_EAGAIN);
    assert_int_equal(driver_probe(&f->d, f->now, 1), HF_EAGAIN);
    result(f, 2, 0, driver_last(&f->d));
    assert_true(driver_ready(&f->d));
    assert_int_equal(f->applied, 2);
    assert_int_equal(f->vote_term, 2);
    end(f);
}

/* An entry is applied once a majority has it durable, our own disk counted
 * only when it answered. */
static void commit_needs_two_disks(void **state)
{
    struct fixture *f = fixture();
    uint64_t index;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    index = submit(f);
    result(f, 2, 0, index);
    assert_int_equal(f->applied, index - 1);
    disk_catches_up(f);
    assert_int_equal(f->applied, index);
    assert_int_equal(driver_pending_bytes(&f->d), 0);
    end(f);
}

/* A backlog is applied in slices, each by the timer at once, so that what
 * peers send comes in between. */
static void backlog_in_slices(void **state)
{
    enum { ENTRIES = 8 };
    struct fixture *f = fixture();
    uint64_t index = 0;
    int slices = 0;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    for (int i = 0; i < ENTRIES; i++) {
        struct entry e = {0, ENTRY_COMMAND, {NULL, 0}, NULL};

        e.blob = blob_new(DRIVER_APPLY_BYTES / 2);
        memset(e.blob->d, i, e.blob->n);
        e.data = blob_bytes(e.blob);
        assert_int_equal(driver_submit(&f->d, f->now, &e, 1, &index), 0);
        entry_unref(&e);
    }
    disk_catches_up(f);
    result(f, 2, 0, index);
    assert_int_equal(driver_commit(&f->d), index);
    while (driver_applied(&f->d) < index) {
        uint64_t before = driver_applied(&f->d);

        assert_true(f->timer <= f->now);
        tick(f);
        assert_in_range(driver_applied(&f->d) - before, 1, 2);
        slices++;
    }
    assert_int_equal(slices, ENTRIES / 2 - 1);
    assert_true(f->timer > f->now);
    end(f);
}

/* A log that cannot be is refused at start, not loaded. */
static void start_refuses_nonsense(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;
    struct entry e = command(1);

    (void)state;
    driver_config_default(&cfg);
    driver_init(&f->d, 1, &OPS, f, &cfg);
    assert_int_equal(driver_start(&f->d, 1, 1, 0, NULL, 1, &e, 1), HF_ECORRUPT);
    entry_unref(&e);
    end(f);
}

/* A blank node waits: it never stands for election. */
static void blank_node_waits(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;

    (void)state;
    driver_config_default(&cfg);
    driver_init(&f->d, 9, &OPS, f, &cfg);
    assert_int_equal(driver_start(&f->d, 1, 0, 0, NULL, 1, NULL, 0), 0);
    for (int i = 0; i < 20; i++) {
        tick(f);
    }
    assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
    assert_int_equal(f->sent_n, 0);
    end(f);
}

/* ---- votes ---- */

/* A denied pre-vote tells the candidate the term it must exceed. */
static void denied_pre_vote_names_our_term(void **state)
{
    struct fixture *f = fixture();
    struct raft_msg m;

    (void)state;
    begin(f, 5, 3, 2);
    f->now += 10000;
    memset(&m, 0, sizeof m);
    m.kind = RMSG_VOTE;
    m.version = 2;
    m.term = 3;
    m.vote.candidate = 2;
    m.vote.last_index = 9;
    m.vote.last_term = 1;
    m.vote.pre_vote = true;
    receive(f, 2, m);
    assert_non_null(sent(f, RMSG_VOTE_RESULT, 2));
    assert_false(sent(f, RMSG_VOTE_RESULT, 2)->vote_result.granted);
    assert_int_equal(sent(f, RMSG_VOTE_RESULT, 2)->term, 5);
    end(f);
}

/* Bring what @a, node @from, has sent to @b, node @to. */
static void carry(struct fixture *a,
                  uint64_t from,
                  struct fixture *b,
                  uint64_t to)
{
    for (unsigned i = 0; i < a->sent_n; i++) {
        if (a->sent[i].to == to) {
            driver_receive(&b->d, b->now, from, &a->sent[i]);
        }
    }
    forget_sent(a);
}

/* Nodes 1 and 2 for some fifty election timeouts: who leads, or NULL. */
static struct fixture *elected(struct fixture *a, struct fixture *b)
{
    for (int i = 0; i < 100; i++) {
        struct fixture *next = a->timer < b->timer ? a : b;

        tick(next);
        a->now = b->now = next->now;
        for (int k = 0; k < 4; k++) {
            carry(a, 1, b, 2);
            carry(b, 2, a, 1);
        }
        if (driver_role(&a->d) == DRIVER_LEADER) {
            return a;
        }
        if (driver_role(&b->d) == DRIVER_LEADER) {
            return b;
        }
    }
    return NULL;
}

/* Of three voters one is down, one has the entries and one the latest term:
 * the first must learn that term or nobody is ever elected. */
static void entries_and_term_apart(void **state)
{
    struct fixture *a = fixture();
    struct fixture *b = fixture();
    struct driver_config cfg;

    (void)state;
    driver_config_default(&cfg);
    cfg.seed = 7;
    begin_with(a, 1, 3, 3, 3, &cfg);
    cfg.seed = 8;
    begin_with(b, 2, 5, 3, 0, &cfg);
    assert_ptr_equal(elected(a, b), a);
    assert_true(driver_term(&a->d) > 5);
    end(a);
    end(b);
}

/* Vote results that nobody asked for change nothing. */
static void unasked_vote_result_is_dropped(void **state)
{
    struct fixture *f = fixture();
    uint64_t term;
    struct raft_msg m;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    term = driver_term(&f->d);
    memset(&m, 0, sizeof m);
    m.kind = RMSG_VOTE_RESULT;
    m.version = 2;
    m.term = term + 5;
    receive(f, 2, m);
    assert_int_equal(driver_term(&f->d), term);
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    end(f);
}

/* A server that becomes the only voter never leads in the old leader's term,
 * neither told to nor by itself. */
static void lone_voter_raises_the_term(void **state)
{
    struct fixture *f = fixture();
    struct entry e = change_of(3, 1, 2);
    struct raft_msg m;

    (void)state;
    begin(f, 3, 2, 0);
    receive(f, 2, append_msg(3, 1, 1, 1, &e, 1));
    disk_catches_up(f);
    receive(f, 2, append_msg(3, 2, 3, 2, NULL, 0));
    memset(&m, 0, sizeof m);
    m.kind = RMSG_TIMEOUT_NOW;
    m.term = 3;
    m.timeout_now.last_index = 2;
    m.timeout_now.last_term = 3;
    receive(f, 2, m);
    assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
    for (int i = 0; i < 10 && driver_role(&f->d) != DRIVER_LEADER; i++) {
        tick(f);
    }
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    assert_true(driver_term(&f->d) > 3);
    entry_unref(&e);
    end(f);
}

/* A candidate that nobody answers, told to stand by a leader that has removed
 * it since, goes back to asking: its term would depose every leader for ever
 * with each retry. */
static void unanswered_candidate_calms_down(void **state)
{
    struct fixture *f = fixture();
    struct raft_msg m;

    (void)state;
    begin(f, 1, 3, 0);
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    memset(&m, 0, sizeof m);
    m.kind = RMSG_TIMEOUT_NOW;
    m.term = 1;
    m.timeout_now.last_index = 1;
    m.timeout_now.last_term = 1;
    receive(f, 2, m);
    assert_int_equal(driver_term(&f->d), 2);
    assert_true(sent(f, RMSG_VOTE, 2)->vote.disrupt_leader);
    for (int i = 0; i < 20; i++) {
        forget_sent(f);
        tick(f);
    }
    assert_int_equal(driver_term(&f->d), 2);
    assert_true(sent(f, RMSG_VOTE, 2)->vote.pre_vote);
    assert_false(sent(f, RMSG_VOTE, 2)->vote.disrupt_leader);
    end(f);
}

/* A follower that hears nobody asks who would vote for it and keeps its term:
 * else it would depose a healthy leader when it is heard again. */
static void silence_raises_no_term(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    for (int i = 0; i < 20; i++) {
        tick(f);
    }
    assert_int_equal(driver_term(&f->d), 1);
    assert_int_equal(f->vote_term, 0);
    end(f);
}

/* A leader that hears no majority for an election timeout stops leading: who
 * waits for it must look for another one. */
static void unanswered_leader_stands_down(void **state)
{
    struct fixture *f = fixture();
    uint64_t until;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    until = f->now + 3000;
    while (f->now < until && driver_role(&f->d) == DRIVER_LEADER) {
        forget_sent(f);
        tick(f);
    }
    assert_int_not_equal(driver_role(&f->d), DRIVER_LEADER);
    end(f);
}

/* ---- a leader that is gone ---- */

/* Node 1 of three, following node 2 in term 1, which it has just heard. */
static void follow(struct fixture *f)
{
    begin(f, 1, 3, 0);
    f->now += 5000;
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    forget_sent(f);
    assert_int_equal(driver_leader(&f->d), 2);
}

/* Would (@pre_vote) or does the follower vote for node 3? */
static bool votes(struct fixture *f, bool pre_vote)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_VOTE;
    m.version = 2;
    m.term = driver_term(&f->d) + 1;
    m.vote.candidate = 3;
    m.vote.last_index = driver_last(&f->d);
    m.vote.last_term = 1;
    m.vote.pre_vote = pre_vote;
    forget_sent(f);
    receive(f, 3, m);
    assert_non_null(sent(f, RMSG_VOTE_RESULT, 3));
    return sent(f, RMSG_VOTE_RESULT, 3)->vote_result.granted;
}

/* When the leader's process has ended the first in line stands at once, and
 * asks first: nothing is deposed that others still hear. */
static void dead_leader_is_replaced_at_once(void **state)
{
    struct fixture *f = fixture();
    uint64_t died;

    (void)state;
    follow(f);
    died = f->now;
    driver_peer_died(&f->d, f->now, 2);
    tick(f);
    assert_int_equal(f->now, died + DRIVER_EARLY_FIRST_MS);
    assert_int_equal(driver_role(&f->d), DRIVER_CANDIDATE);
    assert_true(sent(f, RMSG_VOTE, 3)->vote.pre_vote);
    assert_false(sent(f, RMSG_VOTE, 3)->vote.disrupt_leader);
    assert_int_equal(f->vote_term, 0);
    assert_int_equal(driver_term(&f->d), 1);
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0)); /* it was not true */
    assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
    assert_int_equal(driver_leader(&f->d), 2);
    end(f);
}

/* The second in line gives the first time to be elected. */
static void the_next_in_line_waits(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;

    (void)state;
    driver_config_default(&cfg);
    cfg.seed = 7;
    begin_with(f, 3, 1, 3, 0, &cfg);
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    driver_peer_died(&f->d, f->now, 2);
    assert_int_equal(f->timer,
                     f->now + DRIVER_EARLY_FIRST_MS + DRIVER_EARLY_STEP_MS);
    end(f);
}

/* The end of another follower's process means nothing. */
static void a_dead_follower_means_nothing(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    follow(f);
    driver_peer_died(&f->d, f->now, 3);
    assert_true(raft_timeout(&f->d.r) >= f->now + ELECTION_MS);
    assert_int_equal(f->d.early_at, 0);
    assert_false(votes(f, true));
    end(f);
}

/* A leader that is heard after its end was reported is alive: no election,
 * no vote against it. */
static void a_leader_heard_again_is_alive(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    follow(f);
    driver_peer_died(&f->d, f->now, 2);
    f->now += 1;
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    assert_true(raft_timeout(&f->d.r) >= f->now + ELECTION_MS);
    assert_int_equal(f->d.early_at, 0);
    assert_false(votes(f, true));
    f->now += DRIVER_EARLY_FIRST_MS;
    driver_timeout(&f->d, f->now);
    assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
    end(f);
}

/* Entries on their way to the disk: it stands as soon as they are there. The
 * engine, asked before, would wait another timeout. */
static void the_early_candidate_has_its_log_on_disk(void **state)
{
    struct fixture *f = fixture();
    struct entry e = command(1);
    uint64_t died;

    (void)state;
    follow(f);
    receive(f, 2, append_msg(1, 1, 1, 1, &e, 1));
    entry_unref(&e);
    died = f->now;
    driver_peer_died(&f->d, f->now, 2);
    tick(f);
    assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
    disk_catches_up(f);
    forget_sent(f);
    tick(f);
    assert_int_equal(driver_role(&f->d), DRIVER_CANDIDATE);
    assert_true(f->now < died + ELECTION_MS);
    assert_int_equal(sent(f, RMSG_VOTE, 3)->vote.last_index, 2);
    end(f);
}

/* Who has just heard its leader refuses; who has missed it for an election
 * timeout, or knows its process ended, grants at once. */
static void who_hears_the_leader_refuses(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    follow(f);
    assert_false(votes(f, true));
    assert_false(votes(f, false));
    f->now += ELECTION_MS / 2;
    assert_false(votes(f, true));
    f->now += ELECTION_MS / 2;
    assert_true(votes(f, true));
    assert_int_equal(f->vote_term, 0);
    assert_true(votes(f, false));
    assert_int_equal(f->vote_term, 2);
    end(f);
    f = fixture();
    follow(f);
    driver_peer_died(&f->d, f->now, 2);
    assert_true(votes(f, true));
    assert_true(votes(f, false));
    end(f);
}

/* Time passes, and the driver is called whenever it asked to be. */
static void pass_ms(struct fixture *f, uint64_t ms)
{
    uint64_t until = f->now + ms;

    while (f->timer > f->now && f->timer <= until) {
        f->now = f->timer;
        driver_timeout(&f->d, f->now);
    }
    f->now = until;
}

/* A leader that was silent and spoke again is waited for longer, by voter and
 * candidate alike, and not at random for twice as long. */
static void a_bad_wire_is_given_time(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 20; seed++) {
        struct fixture *f = fixture();
        uint64_t heard;

        follow(f);
        raft_seed(&f->d.r, seed);
        assert_int_equal(driver_election_ms(&f->d), ELECTION_MS);
        pass_ms(f, ELECTION_MS - LIM_HEARTBEAT_MS);
        receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
        assert_int_equal(driver_election_ms(&f->d),
                         PACE_FACTOR * (ELECTION_MS - LIM_HEARTBEAT_MS));
        heard = f->now;
        forget_sent(f);
        pass_ms(f, 2 * ELECTION_MS);
        assert_int_equal(driver_role(&f->d), DRIVER_FOLLOWER);
        assert_false(votes(f, true));
        tick(f);
        assert_int_equal(driver_role(&f->d), DRIVER_CANDIDATE);
        assert_in_range(f->now - heard, driver_election_ms(&f->d),
                        driver_election_ms(&f->d) + ELECTION_MS);
        end(f);
    }
}

/* Who slept does not know whether the leader was silent. */
static void own_sleep_teaches_nothing(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    follow(f);
    pass_ms(f, LIM_HEARTBEAT_MS / 2);
    f->now += ELECTION_MS / 2 + LIM_HEARTBEAT_MS;
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    assert_int_equal(driver_election_ms(&f->d), ELECTION_MS);
    end(f);
}

/* A leader that was replaced and speaks again was not dead: the next time it
 * is waited for as long as that. One that speaks much later had been. */
static void a_false_alarm_is_a_lesson(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct fixture *f = fixture();

        follow(f);
        elect(f);
        assert_int_equal(driver_election_ms(&f->d), ELECTION_MS);
        f->now += late ? (uint64_t)ELECTION_MS * DRIVER_PATIENCE_MAX : 1;
        f->d.timer_at = f->now; /* it was awake */
        receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
        if (late) {
            assert_int_equal(driver_election_ms(&f->d), ELECTION_MS);
        } else {
            assert_true(driver_election_ms(&f->d) >= 3 * ELECTION_MS);
        }
        end(f);
    }
}

/* A leader whose majority answered late and then did waits longer for it
 * before it gives up; that one follower is silent means nothing. */
static void a_leader_learns_of_late_answers(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    pass_ms(f, 10);
    result(f, 2, 0, driver_last(&f->d));
    for (int i = 0; i < 6; i++) {
        pass_ms(f, LIM_HEARTBEAT_MS);
        result(f, 2, 0, driver_last(&f->d));
        forget_sent(f);
    }
    result(f, 3, 0, driver_last(&f->d));
    assert_int_equal(driver_quorum_ms(&f->d), 2 * ELECTION_MS);
    pass_ms(f, ELECTION_MS);
    result(f, 2, 0, driver_last(&f->d));
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    assert_int_equal(driver_quorum_ms(&f->d), PACE_FACTOR * ELECTION_MS);
    forget_sent(f);
    pass_ms(f, 2 * ELECTION_MS + LIM_HEARTBEAT_MS);
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    pass_ms(f, 2 * DRIVER_PATIENCE_MAX * ELECTION_MS);
    assert_int_not_equal(driver_role(&f->d), DRIVER_LEADER);
    end(f);
}

/* A candidate that did not win asks again after a few heartbeats, not after an
 * election timeout; and from then on at its usual pace. */
static void the_first_rounds_are_short(void **state)
{
    struct fixture *f = fixture();
    uint64_t began;

    (void)state;
    follow(f);
    tick(f);
    assert_int_equal(driver_role(&f->d), DRIVER_CANDIDATE);
    assert_in_range(f->timer - f->now, LIM_HEARTBEAT_MS, 3 * LIM_HEARTBEAT_MS);
    tick(f);
    assert_in_range(f->timer - f->now, 2 * LIM_HEARTBEAT_MS,
                    6 * LIM_HEARTBEAT_MS);
    for (int i = 0; i < 10; i++) {
        began = f->now;
        tick(f);
        assert_in_range(f->timer - f->now, ELECTION_MS, 2 * ELECTION_MS);
        assert_true(f->now > began);
    }
    assert_int_equal(driver_term(&f->d), 1);
    end(f);
}

/* ---- AppendEntries ---- */

/* Entries that no leader can have sent change nothing. */
static void impossible_append_is_dropped(void **state)
{
    struct fixture *f = fixture();
    struct entry two[2] = {command(3), command(2)};

    (void)state;
    begin(f, 1, 3, 0);
    receive(f, 2, append_msg(3, 1, 1, 1, two, 2)); /* terms go back */
    receive(f, 2, append_msg(2, 1, 1, 1, two, 1)); /* of a later term */
    receive(f, 2, append_msg(3, 0, 1, 1, two, 1)); /* a term of nothing */
    assert_int_equal(driver_last(&f->d), 1);
    assert_int_equal(driver_term(&f->d), 1);
    two[1].term = 3;
    receive(f, 2, append_msg(3, 1, 1, 1, two, 2));
    assert_int_equal(driver_last(&f->d), 3);
    unref(two, 2);
    end(f);
}

/* A leader takes no orders from another one in its own term: it would add
 * the other's entries to its own, two payloads at one place. */
static void leader_ignores_a_twin(void **state)
{
    struct fixture *f = fixture();
    struct entry e;
    uint64_t last, term;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    last = driver_last(&f->d);
    term = driver_term(&f->d);
    e = command(term);
    receive(f, 2, append_msg(term, last, term, 1, &e, 1));
    assert_int_equal(driver_last(&f->d), last);
    receive(f, 2, append_msg(term, 1, 1, 1, NULL, 0));
    assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
    assert_int_equal(f->sent_n, 0);
    assert_null(f->fatal);
    entry_unref(&e);
    end(f);
}

/* Who contradicts an applied entry stops us: one of us has lost data. */
static void conflict_with_applied_stops(void **state)
{
    struct fixture *f = fixture();
    struct entry e = command(4);

    (void)state;
    begin(f, 3, 3, 2);
    receive(f, 2, append_msg(3, 3, 3, 3, NULL, 0));
    assert_int_equal(f->applied, 3);
    receive(f, 2, append_msg(4, 1, 1, 3, &e, 1));
    assert_non_null(f->fatal);
    assert_string_equal(f->fatal, "a leader contradicts an applied entry");
    entry_unref(&e);
    end(f);
}

/* An entry cut and appended again is acknowledged by its second write only. */
static void cut_write_proves_nothing(void **state)
{
    struct fixture *f = fixture();
    struct entry two[2] = {command(2), command(2)};
    struct entry three = command(3);

    (void)state;
    begin(f, 1, 5, 0);
    receive(f, 2, append_msg(2, 1, 1, 0, two, 2));
    receive(f, 3, append_msg(3, 1, 1, 0, &three, 1));
    receive(f, 4, append_msg(4, 1, 1, 0, two, 2));
    driver_appended(&f->d, f->now, f->tokens[0]);
    assert_int_equal(driver_durable(&f->d), 1);
    driver_appended(&f->d, f->now, f->tokens[1]);
    driver_appended(&f->d, f->now, f->tokens[2]);
    assert_int_equal(driver_durable(&f->d), 3);
    unref(two, 2);
    entry_unref(&three);
    end(f);
}

/* Rolling back a second CHANGE returns to the first, which its successor
 * proved committed: two votes of its four elect nobody. The other two, with a
 * fifth that this node does not know, could have a leader of their own. */
static void rollback_keeps_the_first_change(void **state)
{
    struct fixture *f = fixture();
    struct entry e[2] = {change_of(1, 4, 4), change_of(1, 4, 5)};
    struct entry other = command(2);
    struct conf c;

    (void)state;
    begin(f, 1, 3, 0);
    receive(f, 2, append_msg(1, 1, 1, 1, &e[0], 1));
    receive(f, 2, append_msg(1, 2, 1, 1, &e[1], 1));
    receive(f, 3, append_msg(2, 2, 1, 1, &other, 1));
    driver_members(&f->d, &c);
    assert_int_equal(c.n, 4);
    assert_int_equal(conf_voters(&c), 4);
    assert_int_equal(driver_conf_index(&f->d), 2);
    disk_catches_up(f);
    forget_sent(f);
    tick(f);
    grant(f, false);
    for (int i = 0; i < 2 && sent(f, RMSG_VOTE, 2) != NULL; i++) {
        grant(f, false);
    }
    assert_int_not_equal(driver_role(&f->d), DRIVER_LEADER);
    unref(e, 2);
    entry_unref(&other);
    end(f);
}

/* ---- results of AppendEntries ---- */

/* A success beyond our own log is not believed: it would commit what only we
 * have. */
static void impossible_success_is_dropped(void **state)
{
    struct fixture *f = fixture();
    uint64_t index;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    index = submit(f);
    result(f, 2, 0, 999);
    disk_catches_up(f);
    assert_true(driver_commit(&f->d) < index);
    assert_true(driver_match(&f->d, 2) < index);
    assert_true(driver_match(&f->d, 2) > 0);
    result(f, 2, 0, index);
    assert_int_equal(driver_commit(&f->d), index);
    end(f);
}

/* A rejection below what a follower has acknowledged is late and ignored:
 * obeyed, that follower would never get an entry again. */
static void late_rejection_is_dropped(void **state)
{
    struct fixture *f = fixture();
    uint64_t last;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    for (int i = 0; i < 3; i++) {
        last = submit(f);
    }
    disk_catches_up(f);
    result(f, 2, 0, last - 2);
    result(f, 2, last, last - 2); /* true: it lacks the last two */
    forget_sent(f);
    result(f, 2, last - 2, last - 3); /* late */
    assert_int_equal(driver_match(&f->d, 2), last - 2);
    /* The answer to the true one is lost, and then nothing more is. */
    forget_sent(f);
    for (int i = 0; i < 50 && driver_match(&f->d, 2) < last; i++) {
        const struct raft_msg *m;

        tick(f);
        m = sent(f, RMSG_APPEND, 2);
        if (m != NULL) {
            uint64_t holds = m->append.prev_index + m->n_entries;

            forget_sent(f);
            result(f, 2, 0, holds);
        }
    }
    assert_int_equal(driver_match(&f->d, 2), last);
    end(f);
}

/* A leader with @n entries on the way to 2, each in a message of its own.
 * What all have acknowledged is the answer. */
static uint64_t begin_window(struct fixture *f, unsigned n)
{
    struct driver_config cfg;
    uint64_t base;

    driver_config_default(&cfg);
    cfg.seed = 7;
    cfg.message_bytes = 1;
    begin_with(f, 1, 1, 3, 0, &cfg);
    elect_ready(f);
    base = driver_last(&f->d);
    while (n-- > 0) {
        (void)submit(f);
        disk_catches_up(f);
    }
    return base;
}

static unsigned appends_to(const struct fixture *f, uint64_t to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->sent_n; i++) {
        n += f->sent[i].kind == RMSG_APPEND && f->sent[i].to == to;
    }
    return n;
}

/* 2, which has everything up to *@has, gets what was sent to it, but for each
 * @lost-th message (0: none is lost), and answers. How many were sent. */
static unsigned answer_all(struct fixture *f, uint64_t *has, unsigned lost)
{
    struct raft_msg got[SENT_MAX];
    unsigned n = 0, k = appends_to(f, 2);

    for (unsigned i = 0; i < f->sent_n; i++) {
        if (f->sent[i].kind == RMSG_APPEND && f->sent[i].to == 2 &&
            (lost == 0 || ++f->delivered % lost != 0)) {
            got[n++] = f->sent[i];
        }
    }
    forget_sent(f);
    for (unsigned i = 0; i < n; i++) {
        uint64_t prev = got[i].append.prev_index;

        if (prev > *has) {
            result(f, 2, prev, *has);
        } else {
            *has =
                prev + got[i].n_entries > *has ? prev + got[i].n_entries : *has;
            result(f, 2, 0, prev + got[i].n_entries);
        }
    }
    return k;
}

/* One lost message makes the follower reject all those behind it. That is
 * answered with one message of one piece. */
static void a_rejected_window_costs_one_message(void **state)
{
    struct fixture *f = fixture();
    uint64_t base;

    (void)state;
    base = begin_window(f, 20);
    assert_int_equal(appends_to(f, 2), 20);
    forget_sent(f);
    for (uint64_t i = 1; i < 20; i++) {
        result(f, 2, base + i, base);
    }
    assert_int_equal(appends_to(f, 2), 1);
    assert_int_equal(sent(f, RMSG_APPEND, 2)->append.prev_index, base);
    assert_int_equal(sent(f, RMSG_APPEND, 2)->n_entries, 1);
    end(f);
}

/* Rejections of what was sent before the leader went back say nothing new,
 * however they mingle with acknowledgements of what was sent since. */
static void an_old_rejection_costs_nothing(void **state)
{
    struct fixture *f = fixture();
    uint64_t base;

    (void)state;
    base = begin_window(f, 20);
    result(f, 2, base + 1, base);
    forget_sent(f);
    result(f, 2, 0, base + 1);
    assert_int_equal(appends_to(f, 2), 2);
    forget_sent(f);
    result(f, 2, base + 5, base);
    result(f, 2, 0, base + 2);
    result(f, 2, base + 6, base);
    result(f, 2, base + 7, base);
    assert_int_equal(appends_to(f, 2), 0);
    result(f, 2, 0, base + 3);
    assert_int_equal(appends_to(f, 2), 4);
    end(f);
}

/* What a lost message held back follows in windows that double: few round
 * trips, and hardly more messages than there are pieces. */
static void a_window_that_was_rejected_arrives(void **state)
{
    struct fixture *f = fixture();
    unsigned n = 0, rounds = 0;
    uint64_t has;

    (void)state;
    has = begin_window(f, 50);
    forget_sent(f); /* all lost; then one more */
    (void)submit(f);
    disk_catches_up(f);
    while (has < driver_last(&f->d)) {
        assert_true(++rounds < 10);
        n += answer_all(f, &has, 0);
    }
    assert_true(n < 120);
    assert_int_equal(driver_match(&f->d, 2), driver_last(&f->d));
    end(f);
}

/* Whatever is lost of it comes again, with nothing new to send: heartbeats
 * find out. */
static void a_lossy_wire_is_caught_up_with(void **state)
{
    struct fixture *f = fixture();
    uint64_t has;

    (void)state;
    for (unsigned lost = 3; lost < 9; lost += 2) {
        unsigned beats = 0;

        has = begin_window(f, 50);
        while (driver_match(&f->d, 2) < driver_last(&f->d)) {
            (void)answer_all(f, &has, lost);
            if (appends_to(f, 2) == 0) {
                assert_true(++beats < 60);
                tick(f);
                result(f, 3, 0, driver_last(&f->d));
            }
        }
        assert_int_equal(driver_role(&f->d), DRIVER_LEADER);
        if (lost < 7) {
            forget_sent(f);
            driver_release(&f->d);
        }
    }
    end(f);
}

/* A CHANGE leaves the leader only once it is on its own disk. */
static void change_waits_for_our_disk(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    assert_int_equal(driver_change(&f->d, f->now, 4, CONF_SPARE), 0);
    assert_null(sent(f, RMSG_APPEND, 2));
    disk_catches_up(f);
    assert_non_null(sent(f, RMSG_APPEND, 2));
    assert_int_equal(sent(f, RMSG_APPEND, 2)->n_entries, 1);
    end(f);
}

/* A leader of two that demotes the other dies before the CHANGE is on its
 * disk. If the other has it, that one has the longer log and no vote: nobody
 * could lead any more. */
static void demotion_survives_a_crash(void **state)
{
    struct fixture *a = fixture();
    struct fixture *again = fixture();
    struct fixture *b = fixture();
    struct driver_config cfg;

    (void)state;
    driver_config_default(&cfg);
    cfg.seed = 7;
    begin_with(a, 1, 1, 2, 0, &cfg);
    cfg.seed = 8;
    begin_with(b, 2, 1, 2, 0, &cfg);
    b->timer = UINT64_MAX;
    assert_ptr_equal(elected(a, b), a);
    disk_catches_up(a);
    result(a, 2, 0, driver_last(&a->d));
    assert_int_equal(driver_last(&a->d), 2);
    assert_int_equal(driver_change(&a->d, a->now, 2, CONF_STANDBY), 0);
    carry(a, 1, b, 2);
    disk_catches_up(b);
    forget_sent(b);
    begin_with(again, 1, driver_term(&a->d), 2, 1, &cfg);
    again->now = a->now;
    b->timer = b->now + ELECTION_MS;
    assert_non_null(elected(again, b));
    end(a);
    end(again);
    end(b);
}

/* ---- snapshots ---- */

static struct raft_msg install_msg(uint64_t term,
                                   uint64_t index,
                                   const struct entry *conf)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_INSTALL;
    m.term = term;
    m.install.index = index;
    m.install.term = term;
    m.install.conf_index = 1;
    m.install.conf = conf->blob;
    return m;
}

/* Leave something on the stack where the engine forgets to write. */
static __attribute__((noinline)) void dirty_stack(void)
{
    volatile uint8_t rubbish[16384];

    for (size_t i = 0; i < sizeof rubbish; i++) {
        rubbish[i] = 0x5A;
    }
}

/* The answer to a request of an older term acknowledges nothing. */
static void stale_request_acknowledges_nothing(void **state)
{
    struct fixture *f = fixture();
    struct entry c = change_of(1, 3, 3);
    struct raft_msg append = append_msg(3, 0, 0, 0, NULL, 0);
    struct raft_msg install = install_msg(3, 9, &c);

    (void)state;
    begin(f, 5, 3, 3);
    for (int i = 0; i < 2; i++) {
        forget_sent(f);
        dirty_stack();
        receive(f, 2, i == 0 ? append : install);
        assert_non_null(sent(f, RMSG_APPEND_RESULT, 2));
        assert_int_equal(
            sent(f, RMSG_APPEND_RESULT, 2)->append_result.last_index, 0);
        assert_int_equal(sent(f, RMSG_APPEND_RESULT, 2)->term, 5);
    }
    entry_unref(&c);
    end(f);
}

/* Nothing of a second install reaches the engine during the first: it would
 * never free it. */
static void one_install_at_a_time(void **state)
{
    struct fixture *f = fixture();
    struct entry c = change_of(1, 3, 3);
    size_t before;

    (void)state;
    begin(f, 1, 3, 0);
    receive(f, 2, install_msg(1, 50, &c));
    assert_int_equal(f->installs, 1);
    before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        receive(f, 2, install_msg(1, 60, &c));
        forget_sent(f);
    }
    assert_true(mallinfo2().uordblks < before + 4096);
    receive(f, 2, install_msg(2, 60, &c));
    assert_int_equal(f->installs, 1);
    assert_int_equal(driver_term(&f->d), 1);
    f->applied = 50;
    driver_installed(&f->d, f->now);
    assert_int_equal(driver_applied(&f->d), 50);
    assert_int_equal(driver_last(&f->d), 50);
    entry_unref(&c);
    end(f);
}

/* Node 1 of 3 in term 2, with a snapshot up to 3, of @snap_term, and a log
 * from @first to 5, of term 1; none if that is above 5. */
static void begin_after_snapshot(struct fixture *f,
                                 uint64_t snap_term,
                                 uint64_t first)
{
    struct entry c = change_of(1, 3, 3);
    struct snap_meta s = {3, snap_term, 1, c.blob};
    struct driver_config cfg;
    struct entry e[5];
    unsigned n = 0;

    memset(f, 0, sizeof *f);
    f->now = 1000;
    f->applied = 3;
    driver_config_default(&cfg);
    cfg.seed = 7;
    driver_init(&f->d, 1, &OPS, f, &cfg);
    for (uint64_t i = first; i <= 5; i++) {
        e[n++] = i == 1 ? change_of(1, 3, 3) : command(1);
    }
    assert_int_equal(driver_start(&f->d, f->now, 2, 0, &s, first, e, n), 0);
    unref(e, n);
    entry_unref(&c);
}

/* A log without the snapshot's last entry is of another history: a crash came
 * between the two steps of an install. */
static void a_log_beside_the_snapshot_is_useless(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin_after_snapshot(f, 2, 1);
    assert_int_equal(driver_first(&f->d), 4);
    assert_int_equal(driver_last(&f->d), 3);
    driver_release(&f->d);
    begin_after_snapshot(f, 1, 1); /* this one has it */
    assert_int_equal(driver_first(&f->d), 1);
    assert_int_equal(driver_last(&f->d), 5);
    end(f);
}

/* Entries that the snapshot covers are known, though no longer in the log. */
static void what_the_snapshot_covers_is_no_news(void **state)
{
    struct fixture *f = fixture();
    struct entry e[5];

    (void)state;
    begin_after_snapshot(f, 1, 4);
    for (unsigned i = 0; i < 5; i++) {
        e[i] = i == 0 ? change_of(1, 3, 3) : command(i < 4 ? 1 : 2);
    }
    receive(f, 2, append_msg(2, 0, 0, 0, e, 5));
    assert_null(f->fatal);
    assert_int_equal(driver_last(&f->d), 5);
    assert_int_equal(driver_term_of(&f->d, 5), 2);
    assert_int_equal(driver_first(&f->d), 4);
    unref(e, 5);
    end(f);
}

/* Naming a snapshot that is not here yet counts as hearing the leader. */
static void refused_install_is_contact(void **state)
{
    struct fixture *f = fixture();
    struct entry c = change_of(1, 3, 3);
    struct raft_msg m = install_msg(1, 50, &c);

    (void)state;
    begin(f, 1, 3, 0);
    f->now += ELECTION_MS - 10;
    driver_refuse_install(&f->d, f->now, 2, &m);
    assert_true(raft_timeout(&f->d.r) >= f->now + ELECTION_MS);
    assert_int_equal(f->d.early_at, 0);
    assert_int_equal(f->installs, 0);
    assert_int_equal(driver_leader(&f->d), 2);
    entry_unref(&c);
    end(f);
}

/* No snapshot at index 1: it could never be sent to a blank node. */
static void no_snapshot_at_index_one(void **state)
{
    struct fixture *f = fixture();
    struct snap_meta m = {0, 0, 0, NULL};

    (void)state;
    begin(f, 1, 3, 1);
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    assert_int_equal(f->applied, 1);
    assert_int_equal(driver_snapshot_meta(&f->d, &m), HF_EAGAIN);
    receive(f, 2, append_msg(1, 2, 1, 2, NULL, 0));
    assert_int_equal(driver_snapshot_meta(&f->d, &m), 0);
    assert_int_equal(m.index, 2);
    assert_int_equal(m.conf_index, 1);
    assert_int_equal(driver_snapshot_done(&f->d, f->now, &m, 0), 0);
    assert_int_equal(driver_first(&f->d), 3);
    snap_meta_release(&m);
    end(f);
}

/* Make node 4 a standby, all others answering. */
static void join_standby(struct fixture *f)
{
    static const int roles[] = {CONF_SPARE, CONF_STANDBY};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(driver_change(&f->d, f->now, 4, roles[i]), 0);
        disk_catches_up(f);
        result(f, 2, 0, driver_last(&f->d));
        result(f, 3, 0, driver_last(&f->d));
    }
}

/* A blank node gets entries or a snapshot from a leader that would have liked
 * a snapshot early: compacted at index 1 the engine sends it neither. */
static void blank_node_is_fed(void **state)
{
    struct fixture *f = fixture();
    struct snap_meta s = {0, 0, 0, NULL};
    bool fed = false;

    (void)state;
    begin(f, 1, 3, 1);
    receive(f, 2, append_msg(1, 1, 1, 1, NULL, 0));
    if (driver_snapshot_meta(&f->d, &s) == 0) {
        assert_int_equal(driver_snapshot_done(&f->d, f->now, &s, 0), 0);
        snap_meta_release(&s);
    }
    elect_ready(f);
    join_standby(f);
    for (int i = 0; i < 50 && !fed; i++) {
        const struct raft_msg *m = sent(f, RMSG_APPEND, 4);

        fed = sent(f, RMSG_INSTALL, 4) != NULL ||
              (m != NULL && m->n_entries > 0 && m->append.prev_index == 0);
        if (m != NULL) {
            uint64_t prev = m->append.prev_index;

            forget_sent(f);
            result(f, 4, prev, 0);
        }
        tick(f);
        result(f, 2, 0, driver_last(&f->d)); /* it goes on leading */
    }
    assert_true(fed);
    end(f);
}

/* ---- requests ---- */

/* Submits beyond the limit are refused before anything is appended. */
static void submits_are_bounded(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;
    struct entry e = command(0);
    uint64_t index;
    uint64_t last;

    (void)state;
    driver_config_default(&cfg);
    cfg.pending_entries = 2;
    begin_with(f, 1, 1, 3, 0, &cfg);
    elect_ready(f);
    submit(f);
    submit(f);
    last = driver_last(&f->d);
    assert_int_equal(driver_submit(&f->d, f->now, &e, 1, &index), HF_ELIMIT);
    assert_int_equal(driver_last(&f->d), last);
    entry_unref(&e);
    end(f);
}

/* Leadership is handed over when the target has everything, not before. */
static void transfer_waits_for_the_log(void **state)
{
    struct fixture *f = fixture();
    struct entry e = command(0);
    uint64_t index;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    index = submit(f);
    submit(f);
    assert_int_equal(driver_transfer(&f->d, f->now, 2), 0);
    result(f, 2, 0, index); /* comes closer, but lacks the last one */
    assert_null(sent(f, RMSG_TIMEOUT_NOW, 2));
    assert_int_equal(driver_submit(&f->d, f->now, &e, 1, &index), HF_EAGAIN);
    disk_catches_up(f);
    result(f, 2, 0, driver_last(&f->d));
    assert_non_null(sent(f, RMSG_TIMEOUT_NOW, 2));
    entry_unref(&e);
    end(f);
}

/* A transfer that cannot finish is given up after an election timeout. */
static void transfer_gives_up(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    submit(f);
    disk_catches_up(f);
    result(f, 3, 0, driver_last(&f->d));
    assert_int_equal(driver_transfer(&f->d, f->now, 2), 0);
    assert_false(driver_ready(&f->d));
    for (uint64_t until = f->now + ELECTION_MS; f->now < until;) {
        tick(f);
        result(f, 3, 0, driver_last(&f->d));
    }
    assert_true(driver_ready(&f->d));
    end(f);
}

/* The last voter may not be another node. */
static void only_the_survivor_shrinks_to_one(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 2, 0);
    elect(f);
    result(f, 2, 0, driver_last(&f->d));
    assert_int_equal(driver_change(&f->d, f->now, 1, CONF_NONE), HF_EINVAL);
    assert_int_equal(driver_change(&f->d, f->now, 2, CONF_STANDBY), 0);
    end(f);
}

/* A new leader may not know the newest configuration before it commits in
 * its own term: a change made meanwhile and the one that it does not know
 * need no common voter. */
static void change_waits_for_the_barrier(void **state)
{
    struct fixture *f = fixture();
    struct conf c;

    (void)state;
    begin(f, 1, 3, 0);
    elect(f);
    assert_int_equal(driver_change(&f->d, f->now, 4, CONF_SPARE), HF_EAGAIN);
    driver_members(&f->d, &c);
    assert_int_equal(c.n, 3);
    result(f, 2, 0, driver_last(&f->d));
    assert_int_equal(driver_change(&f->d, f->now, 4, CONF_SPARE), 0);
    end(f);
}

/* The progress of followers stays with them when one of them changes its
 * role: the engine keeps it by their place in the list. */
static void change_keeps_the_order(void **state)
{
    struct fixture *f = fixture();
    struct conf c;
    uint64_t last;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    last = driver_last(&f->d);
    for (int i = 0; i < 2; i++) {
        submit(f);
    }
    assert_int_equal(driver_change(&f->d, f->now, 2, CONF_STANDBY), 0);
    disk_catches_up(f);
    driver_members(&f->d, &c);
    for (unsigned i = 0; i < c.n; i++) {
        assert_int_equal(c.m[i].id, i + 1);
    }
    assert_int_equal(driver_match(&f->d, 2), last);
    assert_int_equal(driver_match(&f->d, 3), last);
    end(f);
}

/* A node that is no member cannot be caught up: the engine would crash. */
static void stranger_is_not_caught_up(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    assert_int_equal(driver_catch_up(&f->d, f->now, 9), HF_ENOENT);
    end(f);
}

/* ---- read rounds ---- */

static void probe_ack(struct fixture *f, uint64_t from, uint64_t attempt)
{
    struct raft_msg m = *sent(f, RMSG_PROBE, from);

    m.kind = RMSG_PROBE_ACK;
    m.probe.attempt = attempt;
    receive(f, from, m);
}

/* A probe of another term is not confirmed. */
static void probe_needs_the_same_term(void **state)
{
    struct fixture *f = fixture();
    struct raft_msg m;

    (void)state;
    begin(f, 5, 3, 0);
    memset(&m, 0, sizeof m);
    m.kind = RMSG_PROBE;
    m.term = 4;
    receive(f, 2, m);
    assert_null(sent(f, RMSG_PROBE_ACK, 2));
    m.term = 5;
    receive(f, 2, m);
    assert_non_null(sent(f, RMSG_PROBE_ACK, 2));
    end(f);
}

/* A round begins again when the configuration changes under it. */
static void probe_restarts_with_the_voters(void **state)
{
    struct fixture *f = fixture();
    uint64_t old;

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    assert_int_equal(driver_probe(&f->d, f->now, 77), 0);
    old = sent(f, RMSG_PROBE, 2)->probe.attempt;
    assert_int_equal(driver_change(&f->d, f->now, 4, CONF_SPARE), 0);
    probe_ack(f, 2, old);
    assert_int_equal(f->probe_ok, -1);
    probe_ack(f, 2, sent(f, RMSG_PROBE, 2)->probe.attempt);
    assert_int_equal(f->probe_ok, 1);
    end(f);
}

/* A kick is a heartbeat with the commit index, at once. */
static void kick_tells_the_commit_index(void **state)
{
    struct fixture *f = fixture();

    (void)state;
    begin(f, 1, 3, 0);
    elect_ready(f);
    driver_kick(&f->d, f->now);
    assert_non_null(sent(f, RMSG_APPEND, 3));
    assert_int_equal(sent(f, RMSG_APPEND, 3)->append.commit,
                     driver_commit(&f->d));
    assert_int_equal(sent(f, RMSG_APPEND, 3)->n_entries, 0);
    end(f);
}

/* ---- entries no longer in memory ---- */

/* What was evicted is read back, and sent only if it is the same entry. */
static void evicted_entries_are_read_back(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;
    struct entry e;

    (void)state;
    driver_config_default(&cfg);
    cfg.cache_bytes = 0;
    begin_with(f, 1, 1, 3, 1, &cfg);
    elect(f);
    result(f, 2, 0, driver_last(&f->d));
    assert_int_equal(driver_cache_bytes(&f->d), 0);
    result(f, 3, driver_last(&f->d) - 1, 1); /* has only entry 1 */
    assert_int_equal(f->read_first, 2);
    forget_sent(f);
    e = command(99); /* entry 2 is of term 1 */
    driver_read_done(&f->d, f->now, f->read_token, &e, 1);
    assert_null(sent(f, RMSG_APPEND, 3));
    entry_unref(&e);
    end(f);
}

/* The same with the right entry: it leaves. */
static void read_back_entries_leave(void **state)
{
    struct fixture *f = fixture();
    struct driver_config cfg;
    struct entry e = command(1);

    (void)state;
    driver_config_default(&cfg);
    cfg.cache_bytes = 0;
    begin_with(f, 1, 1, 3, 1, &cfg);
    elect(f);
    result(f, 2, 0, driver_last(&f->d));
    result(f, 3, driver_last(&f->d) - 1, 1);
    forget_sent(f);
    driver_read_done(&f->d, f->now, f->read_token, &e, 1);
    assert_non_null(sent(f, RMSG_APPEND, 3));
    assert_int_equal(sent(f, RMSG_APPEND, 3)->entries[0].term, 1);
    entry_unref(&e);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(election_and_barrier),
        cmocka_unit_test(commit_needs_two_disks),
        cmocka_unit_test(backlog_in_slices),
        cmocka_unit_test(start_refuses_nonsense),
        cmocka_unit_test(blank_node_waits),
        cmocka_unit_test(denied_pre_vote_names_our_term),
        cmocka_unit_test(entries_and_term_apart),
        cmocka_unit_test(unasked_vote_result_is_dropped),
        cmocka_unit_test(lone_voter_raises_the_term),
        cmocka_unit_test(unanswered_candidate_calms_down),
        cmocka_unit_test(silence_raises_no_term),
        cmocka_unit_test(unanswered_leader_stands_down),
        cmocka_unit_test(dead_leader_is_replaced_at_once),
        cmocka_unit_test(the_next_in_line_waits),
        cmocka_unit_test(a_dead_follower_means_nothing),
        cmocka_unit_test(a_leader_heard_again_is_alive),
        cmocka_unit_test(the_early_candidate_has_its_log_on_disk),
        cmocka_unit_test(who_hears_the_leader_refuses),
        cmocka_unit_test(a_bad_wire_is_given_time),
        cmocka_unit_test(own_sleep_teaches_nothing),
        cmocka_unit_test(a_false_alarm_is_a_lesson),
        cmocka_unit_test(a_leader_learns_of_late_answers),
        cmocka_unit_test(the_first_rounds_are_short),
        cmocka_unit_test(impossible_append_is_dropped),
        cmocka_unit_test(stale_request_acknowledges_nothing),
        cmocka_unit_test(leader_ignores_a_twin),
        cmocka_unit_test(conflict_with_applied_stops),
        cmocka_unit_test(cut_write_proves_nothing),
        cmocka_unit_test(rollback_keeps_the_first_change),
        cmocka_unit_test(impossible_success_is_dropped),
        cmocka_unit_test(late_rejection_is_dropped),
        cmocka_unit_test(a_rejected_window_costs_one_message),
        cmocka_unit_test(an_old_rejection_costs_nothing),
        cmocka_unit_test(a_window_that_was_rejected_arrives),
        cmocka_unit_test(a_lossy_wire_is_caught_up_with),
        cmocka_unit_test(change_waits_for_our_disk),
        cmocka_unit_test(demotion_survives_a_crash),
        cmocka_unit_test(one_install_at_a_time),
        cmocka_unit_test(a_log_beside_the_snapshot_is_useless),
        cmocka_unit_test(what_the_snapshot_covers_is_no_news),
        cmocka_unit_test(refused_install_is_contact),
        cmocka_unit_test(no_snapshot_at_index_one),
        cmocka_unit_test(blank_node_is_fed),
        cmocka_unit_test(submits_are_bounded),
        cmocka_unit_test(transfer_waits_for_the_log),
        cmocka_unit_test(transfer_gives_up),
        cmocka_unit_test(only_the_survivor_shrinks_to_one),
        cmocka_unit_test(change_waits_for_the_barrier),
        cmocka_unit_test(change_keeps_the_order),
        cmocka_unit_test(stranger_is_not_caught_up),
        cmocka_unit_test(probe_needs_the_same_term),
        cmocka_unit_test(probe_restarts_with_the_voters),
        cmocka_unit_test(kick_tells_the_commit_index),
        cmocka_unit_test(evicted_entries_are_read_back),
        cmocka_unit_test(read_back_entries_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
