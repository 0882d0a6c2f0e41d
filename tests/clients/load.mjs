// Writers that count, as in load.py: the same lines in the same file.
import fs from 'node:fs';
import path from 'node:path';

const WRITERS = 4;
const PAUSE_MS = 15;

const nowUs = () => process.hrtime.bigint() / 1000n;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Each writer is {append(key, text), incr(key)}; all write until file.stop.
export async function load(file, makeWriter) {
    const name = file.split('/').slice(-2).join('/');
    const lines = [];
    const open = new Map();
    let ending = false;

    function line(w, status, text) {
        const [sent, number, kind] = open.get(w);
        const told = String(text ?? '').replace(/\s+/g, ' ').slice(0, 120);
        lines.push([sent, nowUs(), w, number, kind, status, told].join('\t'));
    }

    async function write(w) {
        const writer = await makeWriter();
        for (let number = 1; !ending; number++) {
            const kind = number % 2 ? 'incr' : 'append';
            open.set(w, [nowUs(), number, kind]);
            try {
                if (kind === 'incr') {
                    await writer.incr(`${name}:count:${w}`);
                } else {
                    await writer.append(`${name}:log:${w}`, `${number};`);
                }
                line(w, 'ok');
            } catch (e) {
                line(w, 'error', `${e.name}: ${e.message}`);
            }
            open.delete(w);
            await sleep(PAUSE_MS);
        }
    }

    const writers = [];
    for (let w = 0; w < WRITERS; w++) {
        writers.push(write(w));
    }
    const ended = () => fs.existsSync(file + '.stop') ||
        !fs.existsSync(path.dirname(file));
    while (lines.length < 2 * WRITERS && !ended()) {
        await sleep(20);
    }
    fs.writeFileSync(file + '.ready', '');
    while (!ended()) {
        await sleep(20);
    }
    ending = true;
    await Promise.race([Promise.all(writers), sleep(1000)]);
    for (const w of open.keys()) {
        line(w, 'pending');
    }
    fs.writeFileSync(file, lines.join('\n') + '\n');
    process.exit(0);
}

let checks = 0;
export const checked = () => checks;

export function check(what, have, want) {
    checks++;
    if (JSON.stringify(have) !== JSON.stringify(want)) {
        console.log(`${what}: ${JSON.stringify(have)}, expected ` +
            JSON.stringify(want));
        process.exit(1);
    }
}

// What these libraries raise when nobody listens is counted where it is
// awaited; the 'error' events of their connections only tell of them.
export function quiet(client) {
    client.on('error', () => {});
    return client;
}
