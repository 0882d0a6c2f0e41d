/* Users, as connections meet them: an edge on a node that answers. */
#include "tests/unit/edge_world.h"

#include "base/mutant.h"
#include "server/edge/auth.h"
#include "server/store/users.h"

#define WRONG "-WRONGPASS invalid username-password pair or user is disabled."
#define NOAUTH "-NOAUTH Authentication required."
#define NORUN(name) \
    "-NOPERM this user has no permissions to run the '" name "' command"
#define NOKEY                                                              \
    "-NOPERM this user has no permissions to access one of the keys used " \
    "as arguments"

static void on_users(void *ctx)
{
    edge_on_users(((struct world *)ctx)->edge);
}

/* A world where @rules made users, a line each. */
static struct wire *with_users(struct world *w, const char *rules)
{
    struct machine_observer o = {.ctx = w, .on_users = on_users};
    struct wire *c;

    world_init(w);
    machine_set_observer(w->node->m, &o);
    c = dial(w, EDGE_PLAIN);
    send_text(c, rules);
    settle(w);
    assert_null(strchr(got(c), '-'));
    return c;
}

/* This node has applied nothing of what the others have. */
static void fall_behind(struct world *w)
{
    w->node->behind = machine_new();
}

static void end(struct world *w)
{
    machine_free(w->node->behind);
    world_release(w);
}

/* The right password lets in, by AUTH and by HELLO; a wrong one changes
 * nothing. What follows in a pipeline is the user's. */
static void log_in(void **state)
{
    struct world w;
    struct wire *c =
        with_users(&w, "ACL SETUSER u on >pw ~a* +@read +acl|whoami\r\n");

    (void)state;
    expect(&w, c, "AUTH u wrong\r\nACL WHOAMI\r\n", WRONG " $7 default");
    expect(&w, c, "AUTH u pw\r\nACL WHOAMI\r\nSET a 1\r\nGET b\r\n",
           "+OK $1 u " NORUN("set") " " NOKEY);
    expect(&w, c, "AUTH u wrong\r\nACL WHOAMI\r\n", WRONG " $1 u");
    expect(&w, c, "RESET\r\nACL WHOAMI\r\n", "+RESET $7 default");
    expect(&w, c, "HELLO 2 AUTH u no SETNAME n\r\nCLIENT GETNAME\r\n",
           WRONG " $-1");
    send_text(c, "HELLO 3 AUTH u pw SETNAME n\r\n");
    settle(&w);
    assert_int_equal(got(c)[0], '%');
    expect(&w, c, "ACL WHOAMI\r\n", "$1 u");
    expect(&w, c, "AUTH a b c\r\n", "-ERR syntax error");
    expect(&w, c, "HELLO 3 AUTH u\r\n",
           "-ERR Syntax error in HELLO option 'AUTH'");
    expect(&w, c, "AUTH x\r\n",
           "-ERR AUTH <password> called without any password configured for "
           "the default user. Are you sure your configuration is correct?");
    end(&w);
}

/* A password that is too long is not even hashed. */
static void long_password(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw\r\n");
    char line[LIM_PASSWORD + 64];

    (void)state;
    snprintf(line, sizeof line, "AUTH u %0*d\r\n", LIM_PASSWORD, 0);
    expect(&w, c, line, WRONG);
    snprintf(line, sizeof line, "AUTH u %0*d\r\n", LIM_PASSWORD + 1, 0);
    expect(&w, c, line, "-ERR a password is at most 1024 bytes long");
    snprintf(line, sizeof line, "ACL SETUSER u >%0*d\r\n", LIM_PASSWORD + 1, 0);
    expect(&w, c, line,
           "-ERR Error in ACL SETUSER modifier '>(too long)': Syntax error");
    end(&w);
}

/* What the cluster has decided counts, though this node has not applied it:
 * of data, of what the node answers itself, and of what is queued. */
static void node_behind(void **state)
{
    struct world w;
    struct wire *c = with_users(&w,
                                "ACL SETUSER u on >pw ~a* +@read\r\n"
                                "ACL SETUSER v on >pw ~* &* +@all\r\n");

    (void)state;
    fall_behind(&w);
    expect(&w, c, "AUTH u pw\r\nGET a\r\nGET b\r\n", "+OK $-1 " NOKEY);
    expect(&w, c, "SET a 1\r\n", NORUN("set"));
    expect(&w, c, "CONFIG GET maxclients\r\n", NORUN("config|get"));
    expect(&w, c, "PUBLISH a b\r\n", NORUN("publish"));
    expect(&w, c, "KEYS *\r\nRANGE a c\r\n", "*0 " NOKEY);
    expect(&w, c, "RESET\r\nAUTH v pw\r\nSET a 1\r\nGET a\r\n",
           "+RESET +OK +OK $1 1");
    expect(&w, c, "MULTI\r\nSET a 2\r\nEXEC\r\n", "+OK +QUEUED *1 +OK");
    expect(&w, c, "PUBLISH a b\r\n", ":0");
    end(&w);
}

/* The other way round: it knows a user whose rights were taken since. */
static void node_behind_allows(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~* +@all\r\n");
    struct machine *old;

    (void)state;
    expect(&w, c, "AUTH u pw\r\nSET a 1\r\n", "+OK +OK");
    old = w.node->m;
    w.node->behind = old;
    w.node->m = machine_new();
    /* The others have not even heard of the user again. */
    expect(&w, c, "SET a 2\r\n", NOAUTH);
    expect(&w, c, "GET a\r\n", NOAUTH);
    expect(&w, c, "INFO\r\n", NOAUTH);
    expect(&w, c, "MULTI\r\nSET a 2\r\nEXEC\r\n", "+OK +QUEUED " NOAUTH);
    end(&w);
}

/* When nobody tells in time, the users that this node knows of decide. */
static void nobody_tells(void **state)
{
    struct world w;
    struct wire *c =
        with_users(&w, "ACL SETUSER u on >pw ~a* +@read +publish &ok\r\n");

    (void)state;
    w.node->garbage = "-CLUSTERDOWN no leader\r\n";
    expect(&w, c, "AUTH u no\r\n", WRONG);
    expect(&w, c, "AUTH u pw\r\n", "+OK");
    expect(&w, c, "PUBLISH ok b\r\n", ":0");
    expect(&w, c, "PUBLISH other b\r\n",
           "-NOPERM this user has no permissions to access one of the "
           "channels used as arguments");
    expect(&w, c, "GET a\r\n", "-CLUSTERDOWN no leader");
    end(&w);
}

/* A command that is refused between MULTI and EXEC ends the transaction. */
static void in_multi(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~a* +@all -del\r\n");

    (void)state;
    expect(&w, c, "AUTH u pw\r\nMULTI\r\nSET a 1\r\nDEL a\r\nEXEC\r\n",
           "+OK +OK +QUEUED " NORUN("del") " -EXECABORT Transaction discarded "
                                           "because of previous errors.");
    expect(&w, c, "MULTI\r\nSET b 1\r\nDISCARD\r\nGET a\r\n",
           "+OK " NOKEY " +OK $-1");
    expect(&w, c, "WATCH b\r\n", NOKEY);
    end(&w);
}

/* What was queued is looked at again at EXEC, also if it is not on data. */
static void in_exec(void **state)
{
    struct world w;
    struct wire *admin =
        with_users(&w, "ACL SETUSER u on >pw ~* &* +@all -del\r\n");
    struct wire *c = dial(&w, EDGE_PLAIN);

    (void)state;
    expect(&w, c, "AUTH u pw\r\nMULTI\r\nPUBLISH a b\r\nGET a\r\nINFO\r\n",
           "+OK +OK +QUEUED +QUEUED +QUEUED");
    expect(&w, admin, "ACL SETUSER u -publish -info\r\n", "+OK");
    expect(&w, c, "EXEC\r\n", "*3 " NORUN("publish") " $-1 " NORUN("info"));
    assert_int_equal(w.node->published.n, 0);
    /* The part on data is refused as a whole, and that is in the log. */
    expect(&w, c, "MULTI\r\nPING\r\nGET a\r\n", "+OK +QUEUED +QUEUED");
    expect(&w, admin, "ACL SETUSER u -get\r\nACL LOG RESET\r\n", "+OK +OK");
    send_text(c, "EXEC\r\n");
    settle(&w);
    assert_memory_equal(got(c), "-NOPERM ACLs rules changed", 26);
    send_text(admin, "ACL LOG\r\n");
    settle(&w);
    assert_non_null(strstr(got(admin),
                           "$6 reason $7 command $7 context $5 multi "
                           "$6 object $3 get $8 username $1 u"));
    end(&w);
}

/* With a password on the default user nobody gets anything; HELLO says how
 * to get in. Then it is as before. */
static void closed_cluster(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER default >pw\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);

    (void)state;
    expect(&w, d, "GET a\r\nSET a 1\r\nPING\r\nINFO\r\n",
           NOAUTH " " NOAUTH " " NOAUTH " " NOAUTH);
    expect(&w, d, "nosuch\r\n",
           "-ERR unknown command 'nosuch', with args beginning with: ");
    expect(&w, d, "ACL HELP\r\n", NOAUTH);
    expect(&w, d, "HELLO 3\r\n",
           "-NOAUTH HELLO must be called with the client already "
           "authenticated, otherwise the HELLO AUTH <user> <pass> option can "
           "be used to authenticate the client and select the RESP protocol "
           "version at the same time");
    expect(&w, c, "GET a\r\n", NOAUTH); /* who was here before, too */
    expect(&w, d, "AUTH no\r\nAUTH pw\r\nSET a 1\r\n", WRONG " +OK +OK");
    expect(&w, d, "ACL SETUSER default nopass\r\n", "+OK");
    expect(&w, c, "GET a\r\n", "$1 1");
    end(&w);
}

/* Connections of a removed user end; who removed himself hears of it. */
static void removed(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~* +@all\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    struct wire *e = dial(&w, EDGE_PLAIN);

    (void)state;
    expect(&w, d, "AUTH u pw\r\n", "+OK");
    expect(&w, e, "AUTH u pw\r\n", "+OK");
    send_text(d, "ACL DELUSER u\r\n");
    later(&w);
    expect_got(d, ":1");
    assert_true(d->closed);
    assert_true(e->closed);
    expect(&w, c, "PING\r\n", "+PONG");
    expect(&w, c, "ACL SETUSER u on >pw ~* +@all\r\n", "+OK");
    end(&w);
}

/* Nor does he who tracks keys, and may no longer. */
static void tracking_taken(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~* +@all\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    struct wire *e = dial(&w, EDGE_PLAIN);

    (void)state;
    send_text(d, "HELLO 3 AUTH u pw\r\nCLIENT TRACKING ON BCAST\r\n");
    send_text(e, "HELLO 3 AUTH u pw\r\n");
    settle(&w);
    later(&w);
    expect(&w, c, "ACL SETUSER u -@all +get resetkeys\r\n", "+OK");
    later(&w);
    assert_true(d->closed);
    assert_false(e->closed);
    end(&w);
}

/* While a node reads its data it does not know the users: what an operator
 * does waits until it does; what tells of the node does not. */
static void loading(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER default >pw\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    struct wire *e = dial(&w, EDGE_PLAIN);

    (void)state;
    (void)c;
    w.node->loading = true;
    w.node->held = true;
    send_text(d, "SHUTDOWN NOSAVE\r\n");
    send_text(e, "PING\r\n");
    settle(&w);
    expect_got(d, "");
    expect_got(e, "+PONG");
    w.node->loading = false;
    unhold(&w);
    settle(&w);
    expect_got(d, "-NOAUTH Authentication required.");
    end(&w);
}

/* Who may no longer subscribe to what he listens to is closed. */
static void channels_taken(void **state)
{
    struct world w;
    struct wire *c =
        with_users(&w,
                   "ACL SETUSER u on >pw &a &b* +subscribe +psubscribe\r\n"
                   "ACL SETUSER v on >pw +@all &a\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    struct wire *e = dial(&w, EDGE_PLAIN);

    (void)state;
    expect(&w, d, "AUTH u pw\r\nPSUBSCRIBE c*\r\n",
           "+OK -NOPERM this user has no permissions to access one of the "
           "channels used as arguments");
    send_text(d, "PSUBSCRIBE b*\r\n");
    send_text(e, "AUTH v pw\r\nSUBSCRIBE a\r\n");
    settle(&w);
    later(&w);
    assert_false(d->closed);
    expect(&w, c, "ACL SETUSER u resetchannels &a\r\n", "+OK");
    later(&w);
    assert_true(d->closed);
    assert_false(e->closed);
    end(&w);
}

/* After READONLY, too, users are asked for by a linearizable read. */
static void after_readonly(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~* &* +@all\r\n");

    (void)state;
    w.node->n_kinds = 0;
    expect(&w, c, "READONLY\r\nAUTH u pw\r\nGET a\r\nPUBLISH a b\r\n",
           "+OK +OK $-1 :0");
    w.node->kinds[w.node->n_kinds] = 0;
    assert_string_equal(w.node->kinds, "rRr");
    end(&w);
}

/* ACL LOG has what was refused, the latest first. */
static void logged(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~a +@all -del\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    const char *text;

    (void)state;
    send_text(d, "AUTH u no\r\nAUTH u pw\r\nGET bb\r\nDEL a\r\nSET bb 1\r\n");
    settle(&w);
    send_text(c, "ACL LOG\r\n");
    settle(&w);
    text = got(c);
    assert_memory_equal(text, "*3 ", 3);
    assert_non_null(strstr(text,
                           "$6 reason $3 key $7 context $8 toplevel "
                           "$6 object $2 bb $8 username $1 u"));
    assert_non_null(strstr(text,
                           "$6 reason $7 command $7 context $8 toplevel "
                           "$6 object $3 del $8 username $1 u"));
    assert_non_null(strstr(text,
                           "$6 reason $4 auth $7 context $8 toplevel "
                           "$6 object $4 auth $8 username $1 u"));
    expect(&w, c, "ACL LOG RESET\r\nACL LOG\r\nACL LOG x\r\n",
           "+OK *0 -ERR value is not an integer or out of range");
    end(&w);
}

/* A flood of wrong passwords is one entry of ACL LOG, and nobody waits for
 * another's. */
static void flood(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~a +@all\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    const char *text;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        send_text(d, "AUTH u no\r\n");
    }
    env_turn(&w.env);
    expect(&w, c, "SET a 1\r\n", "+OK");
    settle(&w);
    later(&w);
    send_text(c, "ACL LOG\r\n");
    settle(&w);
    text = got(c);
    assert_memory_equal(text, "*1 *14 $5 count :3000 ", 22);
    end(&w);
}

/* MONITOR shows no password, and no command that was refused. */
static void monitored(void **state)
{
    struct world w;
    struct wire *c = with_users(&w, "ACL SETUSER u on >pw ~a +@all\r\n");
    struct wire *d = dial(&w, EDGE_PLAIN);
    const char *text;

    (void)state;
    expect(&w, d, "MONITOR\r\n", "+OK");
    send_text(c,
              "ONCE 1 x ACL SETUSER u >sesame-1\r\n"
              "ACL SETUSER u >sesame-2\r\nHELLO 2 AUTH u sesame-3\r\n"
              "AUTH u sesame-4\r\nAUTH u pw\r\nSET other 1\r\n");
    settle(&w);
    text = got(d);
    assert_non_null(strstr(text, "ONCE"));
    assert_null(strstr(text, "sesame"));
    assert_null(strstr(text, "other"));
    end(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_in),         cmocka_unit_test(long_password),
        cmocka_unit_test(node_behind),    cmocka_unit_test(node_behind_allows),
        cmocka_unit_test(nobody_tells),   cmocka_unit_test(in_multi),
        cmocka_unit_test(in_exec),        cmocka_unit_test(closed_cluster),
        cmocka_unit_test(removed),        cmocka_unit_test(loading),
        cmocka_unit_test(tracking_taken), cmocka_unit_test(channels_taken),
        cmocka_unit_test(after_readonly), cmocka_unit_test(logged),
        cmocka_unit_test(flood),          cmocka_unit_test(monitored),
    };

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
