// The README's read path (argv[2]: its text) against the Redis at port argv[3], with a client of a few lines.
// Lines on stdin: KEY VERSION PAYLOAD PATIENCE; VERSION - for no row, ! where MySQL fails.  Answers a line each: VALUE LOADS.
'use strict';
const net = require('net'), readline = require('readline');
const read = new Function(process.argv[2] + '\nreturn read;')();

// One reply from position at: [value, next], or null while it isn't whole.
function parse(bytes, at) {
  const end = bytes.indexOf('\r\n', at);
  if (end < 0) return null;
  const line = bytes.toString('utf8', at + 1, end), kind = String.fromCharCode(bytes[at]);
  if (kind === '-') return [new Error(line), end + 2];
  if (kind === '+' || kind === ':') return [line, end + 2];
  const length = Number(line);
  if (length < 0) return [null, end + 2];
  if (kind === '$') {
    const next = end + 4 + length;
    return bytes.length < next ? null : [bytes.toString('utf8', end + 2, end + 2 + length), next];
  }
  const list = [];
  let next = end + 2;
  for (let i = 0; i < length; i++) {
    const one = parse(bytes, next);
    if (one === null) return null;
    list.push(one[0]);
    next = one[1];
  }
  return [list, next];
}

function call(...words) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(process.argv[3]), '127.0.0.1');
    let bytes = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const got = parse(bytes, 0);
      if (got === null) return;
      socket.destroy();
      if (got[0] instanceof Error) reject(got[0]);
      else resolve(got[0]);
    });
    socket.write(`*${words.length}\r\n` + words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join(''));
  });
}

(async () => {
  let loads = 0;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [key, version, payload, patience] = line.split(' ');
    const load = async () => {
      loads++;
      if (version === '!') throw new Error('MySQL is down');
      return version === '-' ? null : [version, payload];
    };
    console.log(`${await read(call, key, load, 600000, Number(patience)).catch(() => 'default')} ${loads}`);
  }
})();
