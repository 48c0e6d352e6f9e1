// A client of /v1/stream by the npm package ws: stream_node.js SOCKET MODULE TEST. Prints the terminal's
// output; what it types comes from the test.
const [socket, module_, test] = process.argv.slice(2);
const WebSocket = require(module_);
const tests = {
  // Each step: what the output must hold, then what is typed or sent.
  vim: {cmd: 'vim -u NONE -N -i NONE f.txt; stty -a', steps: [[/f\.txt/, 'ihello from vim\x1b'], [/hello from vim/, ':wq\r']]},
  less: {cmd: 'seq 500 | less', steps: [[/:/, 'G'], [/\(END\)|500/, 'q']]},
  fzf: {cmd: "printf 'one\\ntwo\\nthree\\n' | fzf --no-mouse >picked; cat picked", steps: [[/3\/3/, 'two'], [/1\/3/, '\r']]},
  htop: {cmd: 'htop -d 2', steps: [[/Quit|Help/, 'q']]},
  bash: {cmd: 'PS1="> " bash --norc --noprofile -i',
         steps: [[/> /, 'sleep 100 &\r'], [/\[1\]/, 'jobs\r'], [/Running/, 'kill %1; tty; exit 3\r']]},
};
const {cmd, steps} = tests[test];
const ws = new WebSocket('ws+unix:' + socket + ':/v1/stream');
let out = '', seen = 0, ready = false, done = null;
const advance = () => {
  while (ready && steps.length && steps[0][0].test(out.slice(seen))) {
    const [, keys] = steps.shift();
    seen = out.length;
    ws.send(Buffer.from(keys));
  }
};
ws.on('open', () => ws.send(JSON.stringify({type: 'start', agent_id: 'node', cmd, cols: 100, rows: 30, env: {TERM: 'xterm', PATH: process.env.PATH}})));
ws.on('message', (data, binary) => {
  if (binary) {
    out += data.toString('latin1');
    process.stdout.write(data);
  } else {
    const frame = JSON.parse(data);
    if (frame.type === 'ready') ready = true;
    else done = frame;
  }
  advance();
});
ws.on('close', (code) => {
  process.stderr.write(`${done && done.type} ${done && done.exit} ${code} ${steps.length}\n`);
  process.exit(0);
});
ws.on('error', (problem) => { process.stderr.write(problem.stack + '\n'); process.exit(1); });
