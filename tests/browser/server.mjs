// The real program, started for the test on a free port with a data directory of its own.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const START_MS = 30_000;
const STOP_MS = 35_000;

/** Starts the server and waits for the set-up link that it prints. */
export async function startServer(dataDir) {
  const log = [];
  let child = spawnServer(dataDir, "127.0.0.1:0", log);
  const setupLink = await heard(child, log, /https?:\/\/\S+\/setup\?token=[\w-]+/);
  const url = new URL(setupLink).origin;
  return {
    url,
    setupLink,
    /** Kills it without a word, and starts it again at the same address. */
    async killAndStartAgain() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      child = spawnServer(dataDir, `127.0.0.1:${new URL(url).port}`, log);
      await heard(child, log, new RegExp(url));
    },
    /** A token for programs of an account. */
    async token(user) {
      const environment = { ...process.env, SOWER_DATA_DIR: dataDir };
      const { stdout } = await promisify(execFile)(process.env.SOWER, ["token", "create", "--user", user], { env: environment });
      return stdout.trim();
    },
    /** Ends it, gently at first. */
    async stop() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const slow = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(slow);
      if (child.exitCode !== 0) console.log(`the server ended with ${child.exitCode ?? child.signalCode}:\n${log.slice(-20).join("\n")}`);
    },
  };
}

function spawnServer(dataDir, listen, log) {
  const program = process.env.SOWER;
  assert.ok(program, "SOWER must name the program to test");
  const child = spawn(program, ["serve"], {
    env: { ...process.env, SOWER_DATA_DIR: dataDir, SOWER_LISTEN: listen, SOWER_WEB__CONTACT: "abuse@example.org" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      log.push(line);
      child.emit("said", line);
    });
  }
  return child;
}

/** What the server says that is like this; an error if it ends before or takes too long. */
async function heard(child, log, words) {
  const late = setTimeout(() => child.kill("SIGKILL"), START_MS);
  return await new Promise((resolve, reject) => {
    child.on("said", (line) => {
      const found = line.match(words);
      if (found) resolve(found[0]);
    });
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`the server ended before it was ready:\n${log.join("\n")}`)));
  }).finally(() => clearTimeout(late));
}
