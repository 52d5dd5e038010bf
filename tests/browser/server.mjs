// The real program, started for the test on a free port with a data directory of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const START_MS = 30_000;
const STOP_MS = 35_000;

/** Starts the server and waits for the set-up link that it prints. */
export async function startServer(dataDir) {
  const program = process.env.SOWER;
  assert.ok(program, "SOWER must name the program to test");
  const child = spawn(program, ["serve"], {
    env: { ...process.env, SOWER_DATA_DIR: dataDir, SOWER_LISTEN: "127.0.0.1:0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = [];
  const late = setTimeout(() => child.kill("SIGKILL"), START_MS);
  const setupLink = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        const link = line.match(/https?:\/\/\S+\/setup\?token=[\w-]+/);
        if (link) resolve(link[0]);
      });
    }
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`the server ended before it printed a set-up link:\n${log.join("\n")}`)));
  });
  clearTimeout(late);
  return {
    url: new URL(setupLink).origin,
    setupLink,
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
