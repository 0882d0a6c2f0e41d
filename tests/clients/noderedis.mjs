// node-redis: noderedis.mjs PACKAGE VERB MODE SEEDS FILE, as redispy.py.
import path from 'node:path';
import { createRequire } from 'node:module';
import { check, checked, load, quiet } from './load.mjs';

const [, , name, verb, mode, seedList, file] = process.argv;
const require = createRequire(process.cwd() + '/');
const { createClient, createCluster } = require(name);
const major = Number(require(name + '/package.json').version.split('.')[0]);
let resp;
const seeds = seedList.split(',').map((s) => ({ url: `redis://${s}` }));

async function connect(more) {
    let r;
    if (mode === 'plain') {
        // [node-redis plain]
        r = createClient({ url: seeds[0].url, ...more });
        // [end]
    } else if (mode === 'cluster') {
        r = createCluster({ rootNodes: seeds, ...more });
    } else if (major === 6) {
        // [node-redis 6 tuned]
        r = createCluster({
            rootNodes: seeds,
            topologyRefreshOnReconnectionAttemptStrategy: 100,
            defaults: {
                socket: {
                    socketTimeout: 1000,
                    connectTimeout: 500,
                    reconnectStrategy: () => 50,
                },
            },
            ...more,
        });
        // [end]
    } else {
        // [node-redis 4 and 5 tuned]
        r = createCluster({
            rootNodes: seeds,
            defaults: {
                socket: { connectTimeout: 500, reconnectStrategy: () => 50 },
            },
            ...more,
        });
        // [end]
    }
    await quiet(r).connect();
    return r;
}

// What the library has no method for. On a cluster it wants a key.
function call(r, k, readonly, ...words) {
    words = words.map(String);
    if (mode === 'plain') {
        return r.sendCommand(words);
    }
    return r.sendCommand(k, readonly, words);
}

async function families(r, tag) {
    const key = (k) => `${tag}:${k}`;
    const [a, b, n] = [key('a'), key('b'), key('n')];

    // Strings.
    check('set', await r.set(a, '1'), 'OK');
    check('get', await r.get(a), '1');
    check('get none', await r.get(key('none')), null);
    check('set nx', await r.set(a, '2', { NX: true }), null);
    check('set xx get', await r.set(a, '2', { XX: true, GET: true }), '1');
    check('setnx', Number(await r.setNX(a, '3')), 0);
    check('incr', await r.incr(n), 1);
    check('incrby', await r.incrBy(n, 41), 42);
    check('decr', await r.decr(n), 41);
    check('append', await r.append(b, 'xyz'), 3);
    check('strlen', await r.strLen(b), 3);
    check('getdel', await r.getDel(b), 'xyz');
    await r.set(key('text'), 'abc');
    check('incr of a text', await r.incr(key('text')).catch((e) =>
        /^ERR value is not an integer/.test(e.message)), true);
    check('getset', await r.getSet(key('text'), 'abcdef'), 'abc');
    check('getrange', await r.getRange(key('text'), 1, 3), 'bcd');
    check('setrange', await r.setRange(key('text'), 6, 'gh'), 8);
    check('incrbyfloat', Number(await r.incrByFloat(key('f'), 10.5)), 10.5);
    check('incrbyfloat again', Number(await r.incrByFloat(key('f'), 0.1)), 10.6);
    check('touch', await r.touch(key('f')), 1);
    // Expiry.
    check('setex', await r.setEx(b, 100, 'v'), 'OK');
    check('ttl', [99, 100].includes(await r.ttl(b)), true);
    check('pexpire', Number(await r.pExpire(b, 50000)), 1);
    check('pttl', (await r.pTTL(b)) <= 50000, true);
    check('persist', Number(await r.persist(b)), 1);
    check('ttl none', await r.ttl(b), -1);
    check('expire at', Number(await r.expireAt(b, 1)), 1);
    check('exists', await r.exists(b), 0);
    // Keys.
    check('type', await r.type(a), 'string');
    const want = [];
    for (let i = 0; i < 100; i++) {
        want.push(key(`scan:${String(i).padStart(3, '0')}`));
    }
    await Promise.all(want.map((k, i) => r.set(k, String(i))));
    check('del', await r.del(a), 1);
    check('mset', await r.mSet([[`{${tag}}1`, 'x'], [`{${tag}}2`, 'y']]), 'OK');
    check('mget', await r.mGet([`{${tag}}1`, `{${tag}}2`]), ['x', 'y']);
    // Named requests by the generic call, and its own commands.
    const s = await call(r, a, false, 'ONCE', 'OPEN');
    const named = ['ONCE', s, 1, 'INCR', key('named')];
    check('once', await call(r, a, false, ...named), 1);
    check('once again', await call(r, a, false, ...named), 1);
    check('once close', await call(r, a, false, 'ONCE', 'CLOSE', s), 1);
    check('txn', await call(r, a, false, 'TXN', 1, key('t'), 0, 1, 3, 'SET',
        key('t'), 'v'), ['OK']);
    if (mode === 'plain') {
        await server(r, key, want);
    }
    await channels(r, key);
    await bulk(r, a, n);
    await transactions(r, key('watched'));
}

async function users(r, key) {
    const username = key('user');
    check('acl setuser', await r.aclSetUser(username,
        ['on', '>word', '~' + key('*'), '+get']), 'OK');
    const u = quiet(createClient({ ...seeds[0], username, password: 'word' }));
    await u.connect();
    check('get as user', await u.get(key('text')), 'abcdefgh');
    check('set as user', await u.set(key('text'), '1').catch((e) =>
        /^NOPERM/.test(e.message)), true);
    await (u.destroy ? u.destroy() : u.disconnect());
    check('acl deluser', await r.aclDelUser(username), 1);
}

async function feed(r, key) {
    await r.set(key('feed'), '1');
    const name = '__changes__:' + key('feed');
    const [first] = await r.xRevRange(name, '+', '-', { COUNT: 1 });
    check('xrevrange', first.message.value, '1');
    await r.set(key('feed'), '2');
    const [more] = await r.xRead({ key: name, id: first.id }, { COUNT: 1 });
    check('xread', more.messages[0].message.value, '2');
}

async function channels(r, key) {
    const listener = mode === 'plain' ? quiet(r.duplicate()) : r;
    if (mode === 'plain') {
        await listener.connect();
    }
    let resolve;
    const heard = new Promise((r) => { resolve = r; });
    await listener.subscribe(key('channel'), (text) => resolve(text));
    await r.publish(key('channel'), 'hello');
    check('message', await heard, 'hello');
    await listener.unsubscribe(key('channel'));
}

// What is asked of one node only.
async function server(r, key, want) {
    const have = new Set();
    for await (const k of r.scanIterator({ MATCH: key('scan:*'), COUNT: 7 })) {
        // One key at a time up to version 4, then all of a reply.
        [].concat(k).forEach((one) => have.add(one));
    }
    check('scan', [...have].sort(), want);
    check('ping', await r.ping(), 'PONG');
    check('info', /redis_version:[78]/.test(await r.info()), true);
    check('config get', 'maxmemory' in (await r.configGet('maxmemory')), true);
    check('client setname', await r.clientSetName('one'), 'OK');
    check('client getname', await r.clientGetName(), 'one');
    check('client id', (await r.clientId()) > 0, true);
    check('client list', (await r.clientList()).length > 0, true);
    check('config set',
        await r.configSet('slowlog-log-slower-than', '10000'), 'OK');
    check('memory', (await r.memoryUsage(key('text'))) > 0, true);
    check('wait', (await r.wait(1, 1000)) >= 1, true);
    await users(r, key);
    check('rename', await r.rename(key('text'), key('text3')), 'OK');
    // Version 5 refuses to read streams in RESP3.
    if (!(major === 5 && resp === 3)) {
        await feed(r, key);
    }
    check('dbsize', (await r.dbSize()) > 100, true);
    check('time', (await call(r, '', true, 'TIME')).length, 2);
}

// Big values and long pipelines.
async function bulk(r, a, n) {
    const big = 'x'.repeat(1 << 20);
    check('set 1 MiB', await r.set(a, big), 'OK');
    check('get 1 MiB', (await r.get(a)) === big, true);
    await r.del(a);
    const all = [];
    for (let i = 0; i < 10000; i++) {
        all.push(r.incr(n));
    }
    check('pipeline', (await Promise.all(all)).at(-1), 41 + 10000);
}

async function transactions(r, w) {
    await r.set(w, '1');
    check('exec', await r.multi().set(w, '2').get(w).exec(), ['OK', '2']);
    if (mode !== 'plain') {
        return;
    }
    await r.watch(w);
    check('exec of a watched key', await r.multi().set(w, '3').exec(), ['OK']);
    await r.watch(w);
    await r.set(w, '4');
    check('exec of a changed key', await r.multi().set(w, '5').exec().catch(
        (e) => e.constructor.name), 'WatchError');
    check('watched', await r.get(w), '4');
}

const tag = path.basename(file);
if (verb === 'families') {
    // Version 6 gives a command up after 5 s; a busy machine is no failure.
    const patient = { commandOptions: { timeout: 60000 } };
    await families(await connect(patient), tag);
    if (major === 5) {
        resp = 3;
        await families(await connect({ RESP: 3, ...patient }), tag + '3');
    } else if (major === 6) {
        await families(await connect({ RESP: 2, ...patient }), tag + '2');
    }
    console.log(`${checked()} checks`);
    process.exit(0);
}
const r = await connect();
await load(file, () => r);
