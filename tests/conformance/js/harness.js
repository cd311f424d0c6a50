// Assertions that are counted. The last line is `N passed, M failed`, and the exit code is 1 when M is
// not 0. A section that throws is one more failure, and the next one runs. Knows nothing of AWS.

import { isDeepStrictEqual, inspect } from "node:util";

let passed = 0;
let failed = 0;
let section = "";

/** A value on one line, the first part of a long one. */
const shown = (value) => inspect(value, { maxArrayLength: 10 }).replace(/\s+/g, " ").slice(0, 300);

/** Counts one assertion; `what` says what should be so. */
export function check(what, holds, detail) {
  if (holds) {
    passed += 1;
    return true;
  }
  failed += 1;
  const more = detail === undefined ? "" : `: ${typeof detail === "string" ? detail : shown(detail)}`;
  console.log(`FAILED ${section}: ${what}${more}`);
  return false;
}

/** `got` is `want`, in value and in type. */
export function equal(what, got, want) {
  return check(what, isDeepStrictEqual(got, want), `got ${shown(got)}, want ${shown(want)}`);
}

/** The whole of `got` is described by `pattern`. */
export function matches(what, got, pattern) {
  return check(what, typeof got === "string" && pattern.test(got), `got ${shown(got)}, want ${pattern}`);
}

/** Looks until `probe` gives something. */
export async function eventually(what, probe, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await probe();
    if (found || Date.now() > end) {
      check(what, found, `not within ${patience} ms`);
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs the sections; of these only the ones named in `chosen`, if any are. */
export async function run(sections, chosen) {
  for (const one of sections) {
    if (chosen.length > 0 && !chosen.includes(one.name)) continue;
    section = one.name;
    const before = [passed, failed];
    try {
      await one();
    } catch (error) {
      const place = /suite\.js:\d+/.exec(error.stack ?? "")?.[0] ?? "?";
      check(`runs to its end (${place})`, false, `${error.name}: ${error.message}`);
    }
    console.log(`${section}: ${passed - before[0]} passed, ${failed - before[1]} failed`);
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
