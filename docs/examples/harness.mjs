// A harness in JavaScript: Algorithm 3 on quadratic losses, over JSON lines.

import { createInterface } from "node:readline";

// The protocol's JSON: JSON.stringify would lose the sign of -0, and infinities.
function text(value) {
  if (Array.isArray(value)) return "[" + value.map(text).join(",") + "]";
  if (Object.is(value, -0)) return "-0";
  if (Number.isNaN(value)) return '"nan"';
  if (value === Infinity) return '"inf"';
  if (value === -Infinity) return '"-inf"';
  return JSON.stringify(value);
}

// Uniform numbers of a seed: sfc32 by Chris Doty-Humphrey.
function uniforms(seed) {
  let [a, b, c, count] = [seed | 0, ~seed, 0x9e3779b9, 1];
  const next = () => {
    const sum = (((a + b) | 0) + count++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

function normals(seed) {
  const uniform = seed == null ? Math.random : uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// One replicate; z(j, i) is the standard normal of coordinate i in move j.
function chain({ loss, x, tau, step_sizes, start }, z) {
  const scalar = !Array.isArray(loss.H);
  const entry = (i, k) =>
    Array.isArray(loss.H?.[i]) ? loss.H[i][k] : i !== k ? 0 : scalar ? loss.H : loss.H[i];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  let y = [...(start ?? x)];
  const states = [y];
  for (const [j, eps] of step_sizes.slice(0, -1).entries()) {
    y = y.map((yi, i) => {
      const slope = sum(y.map((yk, k) => entry(i, k) * (yk - loss.m[k])));
      return yi - (eps / 2) * (slope - (x[i] - yi) / tau) + Math.sqrt(eps) * z(j, i);
    });
    states.push(y);
  }
  return x.map(
    (_, i) => sum(states.map((state, j) => step_sizes[j] * state[i])) / sum(step_sizes),
  );
}

function answer(message) {
  if (message.message === "start")
    return '"result":{"name":"a chain in JavaScript","methods":["sgld_mean"]}';
  if (message.message === "echo") return '"result":' + text(message.numbers);
  const given = message.arguments;
  if (given.loss.kind !== "quadratic") return '"not-implemented":"quadratic losses only"';
  const own = normals(given.seed);
  const n = given.draws?.length ?? given.n ?? 1;
  const result = Array.from({ length: n }, (_, r) =>
    chain(given, given.draws ? (j, i) => given.draws[r][j][i] : own),
  );
  return '"result":' + text(result);
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.message === "stop") break;
  process.stdout.write(`{"id":${message.id},${answer(message)}}\n`);
}
process.exit();
