// An event loop between a proxy and an application: waits, asks once, or once and then twice at a time.
// Usage: node front.js PORT BACKEND
const http = require('http');
const [port, backend] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });
const ask = (path) => new Promise((done, failed) => {
  http.get({ host: '127.0.0.1', port: backend, path, agent }, (answer) => {
    answer.resume();
    answer.on('end', done);
  }).on('error', failed);
});
http.createServer(async (request, answer) => {
  const n = Number(new URL(request.url, 'http://x').searchParams.get('n'));
  if (n % 3 === 0) await new Promise((done) => setTimeout(done, n % 5));
  await ask(`/ask?n=${n}`);
  if (n % 2) await Promise.all([ask(`/ask?n=${n}`), ask(`/ask?n=${n}`)]);
  answer.end(`done ${n}`);
}).listen(port, '127.0.0.1');
