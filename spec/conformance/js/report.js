// How a part tells its checks: one line of JSON each on standard output, which run.lua reads.
"use strict";

const assert = require("node:assert");

const LIMIT_MS = 30000;
const LATE_MAX = 4; // checks that waited in vain: then the part gives up, or it would take too long
let prefix = "";
let late = 0;

class TooLate extends Error {}

/** What stands before the name of each check from here on. */
function section(words) {
  prefix = words;
}

function tell(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

function within(promise, ms, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TooLate(`waited ${ms / 1000} s in vain for ${what}`)), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/** Run one check. Its failure does not end the part: the next ones may tell more. */
async function check(name, fn) {
  const full = prefix ? `${prefix}: ${name}` : name;
  try {
    await within(Promise.resolve().then(fn), LIMIT_MS, "this check's end");
    tell({ check: full, ok: true });
  } catch (error) {
    const line = { check: full, ok: false, why: String(error.message || error).split("\n")[0] };
    if (error instanceof assert.AssertionError) {
      Object.assign(line, { expected: shown(error.expected), got: shown(error.actual) });
      if (error.generatedMessage) line.why = "not equal";
    }
    tell(line);
    if (error instanceof TooLate && ++late === LATE_MAX) {
      throw new Error(`given up: ${late} checks have waited in vain`);
    }
  }
}

function shown(value) {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

/** The same, member by member and type by type. */
function same(got, expected, what) {
  assert.deepStrictEqual(got, expected, what);
}

/** Whole seconds since the epoch, of about now. */
function recent(value, what) {
  const now = Date.now() / 1000;
  if (!Number.isInteger(value) || Math.abs(value - now) > 3600) {
    throw new assert.AssertionError({
      message: `${what} is no recent time in whole seconds`, actual: value,
      expected: Math.floor(now),
    });
  }
}

/** Run a part to its end: the process ends with it whatever native threads still do. */
function run(part) {
  process.on("unhandledRejection", (error) => {
    tell({ check: prefix || "the program", ok: false, why: `unhandled: ${error && error.stack}` });
  });
  part().catch((error) => {
    tell({ check: prefix || "the program", ok: false, why: String(error.stack) });
  }).finally(() => {
    tell({ end: true });
    process.stdout.write("", () => process.exit(0));
  });
}

module.exports = { check, section, same, recent, within, run };
