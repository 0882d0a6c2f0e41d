// ioredis: ioredis.mjs PACKAGE VERB MODE SEEDS FILE, as redispy.py.
import path from 'node:path';
import { createRequire } from 'node:module';
import { check, checked, load, quiet } from './load.mjs';

const [, , name, verb, mode, seedList, file] = process.argv;
const require = createRequire(process.cwd() + '/');
const Redis = require(name).default;
const seeds = seedList.split(',').map((s) => {
    const [host, port] = s.split(':');
    return { host, port: Number(port) };
});

function make() {
    if (mode === 'plain') {
        // [ioredis plain]
        return new Redis({ ...seeds[0], commandTimeout: 5000 });
        // [end]
    }
    if (mode === 'cluster') {
        return new Redis.Cluster(seeds);
    }
    if (mode === 'tuned') {
        // [ioredis tuned]
        return new Redis.Cluster(seeds, {
            slotsRefreshInterval: 300,
            redisOptions: { socketTimeout: 1000, connectTimeout: 500 },
        });
        // [end]
    }
    // [ioredis once]
    return new Redis.Cluster(seeds, {
        slotsRefreshInterval: 300,
        retryDelayOnFailover: 0,
        redisOptions: {
            socketTimeout: 1000,
            connectTimeout: 500,
            autoResendUnfulfilledCommands: false,
            maxRetriesPerRequest: 0,
        },
    });
    // [end]
}

async function families(r) {
    const tag = path.basename(file);
    const key = (k) => `${tag}:${k}`;
    const [a, b, n] = [key('a'), key('b'), key('n')];

    // Strings.
    check('set', await r.set(a, '1'), 'OK');
    check('get', await r.get(a), '1');
    check('get none', await r.get(key('none')), null);
    check('set nx', await r.set(a, '2', 'NX'), null);
    check('set xx get', await r.set(a, '2', 'XX', 'GET'), '1');
    check('setnx', await r.setnx(a, '3'), 0);
    check('incr', await r.incr(n), 1);
    check('incrby', await r.incrby(n, 41), 42);
    check('decr', await r.decr(n), 41);
    check('append', await r.append(b, 'xyz'), 3);
    check('strlen', await r.strlen(b), 3);
    check('getdel', await r.getdel(b), 'xyz');
    await r.set(key('text'), 'abc');
    check('incr of a text', await r.incr(key('text')).catch((e) =>
        /^ERR value is not an integer/.test(e.message)), true);
    check('getset', await r.getset(key('text'), 'abcdef'), 'abc');
    check('getrange', await r.getrange(key('text'), 1, 3), 'bcd');
    check('setrange', await r.setrange(key('text'), 6, 'gh'), 8);
    check('incrbyfloat', await r.incrbyfloat(key('f'), 10.5), '10.5');
    check('incrbyfloat again', await r.incrbyfloat(key('f'), 0.1), '10.6');
    check('object', await r.object('ENCODING', key('text')), 'embstr');
    const dumped = await r.dumpBuffer(key('text'));
    check('restore', await r.restore(key('text2'), 0, dumped), 'OK');
    check('get restored', await r.get(key('text2')), 'abcdefgh');
    // Expiry.
    check('setex', await r.setex(b, 100, 'v'), 'OK');
    check('ttl', [99, 100].includes(await r.ttl(b)), true);
    check('pexpire', await r.pexpire(b, 50000), 1);
    check('pttl', (await r.pttl(b)) <= 50000, true);
    check('persist', await r.persist(b), 1);
    check('ttl none', await r.ttl(b), -1);
    check('expire at', await r.expireat(b, 1), 1);
    check('exists', await r.exists(b), 0);
    // Keys.
    check('type', await r.type(a), 'string');
    const want = [];
    for (let i = 0; i < 100; i++) {
        want.push(key(`scan:${String(i).padStart(3, '0')}`));
    }
    await Promise.all(want.map((k, i) => r.set(k, i)));
    const have = new Set();
    // A cluster has no scan of its own: a node is asked.
    const node = mode === 'plain' ? r : r.nodes('master')[0];
    let cursor = '0';
    do {
        const [next, keys] =
            await node.scan(cursor, 'MATCH', key('scan:*'), 'COUNT', 7);
        keys.forEach((k) => have.add(k));
        cursor = next;
    } while (cursor !== '0');
    check('scan', [...have].sort(), want);
    check('del', await r.del(a), 1);
    check('mset', await r.mset(`{${tag}}1`, 'x', `{${tag}}2`, 'y'), 'OK');
    check('mget', await r.mget(`{${tag}}1`, `{${tag}}2`), ['x', 'y']);
    // About the server.
    check('ping', await r.ping(), 'PONG');
    check('info', /redis_version:[78]/.test(await r.info()), true);
    check('config get', (await r.config('GET', 'maxmemory')).length, 2);
    check('time', (await r.time()).length, 2);
    if (mode === 'plain') {
        check('client setname', await r.client('SETNAME', 'one'), 'OK');
        check('client getname', await r.client('GETNAME'), 'one');
        check('client id', (await r.client('ID')) > 0, true);
        check('client list', /addr=127/.test(await r.client('LIST')), true);
        check('config set',
            await r.config('SET', 'slowlog-log-slower-than', 10000), 'OK');
        check('slowlog', (await r.slowlog('LEN')) >= 0, true);
        check('memory', (await r.memory('USAGE', key('text'))) > 0, true);
        check('wait', (await r.wait(1, 1000)) >= 1, true);
        await users(r, key);
        check('rename', await r.rename(key('text2'), key('text3')), 'OK');
    }
    check('dbsize', (await node.dbsize()) > 100, true);
    // Named requests by the generic call, and its own commands.
    const s = await node.call('ONCE', 'OPEN');
    check('once', await node.call('ONCE', s, 1, 'INCR', key('named')), 1);
    check('once again', await node.call('ONCE', s, 1, 'INCR', key('named')), 1);
    check('once close', await node.call('ONCE', 'CLOSE', s), 1);
    check('txn', await node.call('TXN', 1, key('t'), 0, 1, 3, 'SET', key('t'),
        'v'), ['OK']);
    await feedAndChannels(r, node, key);
    await bulk(r, a, n);
    await transactions(r, node, key('watched'));
}

async function users(r, key) {
    const username = key('user');
    check('acl setuser', await r.call('ACL', 'SETUSER', username, 'on',
        '>word', '~' + key('*'), '+get', '+info'), 'OK');
    const u = quiet(new Redis({ ...seeds[0], username, password: 'word' }));
    check('get as user', await u.get(key('text')), 'abcdefgh');
    check('set as user', await u.set(key('text'), '1').catch((e) =>
        /^NOPERM/.test(e.message)), true);
    u.disconnect();
    check('acl deluser', await r.call('ACL', 'DELUSER', username), 1);
}

async function feedAndChannels(r, node, key) {
    await r.set(key('feed'), '1');
    const feed = '__changes__:' + key('feed');
    const [[id, fields]] =
        await node.xrevrange(feed, '+', '-', 'COUNT', 1);
    check('xrevrange', fields.slice(0, 2), ['type', 'set']);
    await r.set(key('feed'), '2');
    check('xread', (await node.xread('STREAMS', feed, id))[0][1].length, 1);
    const listener = quiet(mode === 'plain' ? r.duplicate() : make());
    const heard = new Promise((resolve) => {
        listener.on('message', (channel, text) => resolve(text));
    });
    await listener.subscribe(key('channel'));
    await r.publish(key('channel'), 'hello');
    check('message', await heard, 'hello');
    listener.disconnect();
}

// Big values and long pipelines.
async function bulk(r, a, n) {
    const big = 'x'.repeat(1 << 20);
    check('set 1 MiB', await r.set(a, big), 'OK');
    check('get 1 MiB', (await r.get(a)) === big, true);
    await r.del(a);
    const p = r.pipeline();
    for (let i = 0; i < 10000; i++) {
        p.incr(n);
    }
    check('pipeline', (await p.exec()).at(-1), [null, 41 + 10000]);
}

async function transactions(r, node, w) {
    await r.set(w, '1');
    check('exec', await r.multi().set(w, '2').get(w).exec(),
        [[null, 'OK'], [null, '2']]);
    await node.watch(w);
    check('exec of a watched key', await node.multi().set(w, '3').exec(),
        [[null, 'OK']]);
    await node.watch(w);
    await node.set(w, '4');
    check('exec of a changed key', await node.multi().set(w, '5').exec(), null);
    check('watched', await r.get(w), '4');
}

const r = quiet(make());
if (verb === 'families') {
    await families(r);
    console.log(`${checked()} checks`);
    process.exit(0);
}
await load(file, () => r);
