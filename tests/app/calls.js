// An event loop that waits, fans out, tries again and shares one pipelined connection to Redis among all requests.
// Usage: node calls.js PORT BACKEND REDIS
const http = require('http');
const net = require('net');
const [port, backend, redis] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });
const ask = (path) => new Promise((done, failed) => {
  http.get({ host: '127.0.0.1', port: backend, path, agent }, (answer) => {
    answer.resume();
    answer.on('end', () => done(answer.statusCode));
  }).on('error', failed);
});
const waiting = [];
let left = '';
const cache = net.connect(redis, '127.0.0.1').setNoDelay(true);
cache.on('data', (data) => {
  left += data;
  for (let at = left.indexOf('\r\n'); at >= 0; at = left.indexOf('\r\n')) {
    left = left.slice(at + 2);
    waiting.shift()();
  }
});
const count = (key) => new Promise((done) => {
  waiting.push(done);
  cache.write(`*2\r\n$4\r\nINCR\r\n$${key.length}\r\n${key}\r\n`);
});
http.createServer(async (request, answer) => {
  const n = Number(new URL(request.url, 'http://x').searchParams.get('n'));
  if (n % 3 === 0) await new Promise((done) => setTimeout(done, n % 5));
  if (n % 7 === 0) await Promise.all([0, 1, 2, 3, 4].map(() => ask(`/ask?n=${n}`)));
  else {
    await count(`k:${n}`);
    if (n % 5 === 0 && await ask(`/fail?n=${n}`) !== 503) throw new Error('no failure');
    await ask(`/ask?n=${n}`);
    if (n % 2) await Promise.all([ask(`/ask?n=${n}`), ask(`/ask?n=${n}`)]);
  }
  answer.end(`done ${n}`);
}).listen(port, '127.0.0.1');
