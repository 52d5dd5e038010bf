// Chromium, and what is held against every page: no complaint of the browser, nothing wider than the window, no violation that axe finds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "sower-peers", "npm");
const require = createRequire(join(CACHE, "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Where pictures go. */
export const PICTURES = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "target", "browser");

/** How long anything on a page may take. */
const PATIENCE_MS = 20_000;

export async function openBrowser() {
  const chrome = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  return {
    /** A person with a browser of their own. */
    async context(options = {}) {
      const context = await chrome.newContext({ colorScheme: "light", viewport: { width: 1180, height: 800 }, locale: "en-GB", ...options });
      context.setDefaultTimeout(PATIENCE_MS);
      if (options.javaScriptEnabled === false) scriptless.add(context);
      context.on("page", listen);
      return context;
    },
    close: () => chrome.close(),
  };
}

/** Where no script runs, axe does not run either: timers stand still. Those pages are looked at with their script blocked instead. */
const scriptless = new WeakSet();

/** What the browser complained of on a page, such as a script that the security policy forbids. */
const complaints = new WeakMap();

function listen(page) {
  complaints.set(page, []);
  page.on("pageerror", (error) => complaints.get(page).push(String(error)));
  page.on("console", (message) => {
    // Chromium logs every answer of 400 and above; those are looked at by the tests themselves.
    const isStatus = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isStatus) complaints.get(page).push(message.text());
  });
}

/** Takes a picture of a page and holds it against what every page owes. */
export async function check(page, name) {
  await picture(page, name);
  assert.deepEqual(complaints.get(page), [], `${name}: the browser complains`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${name}: the page is ${overflow} pixels wider than the window`);
  if (scriptless.has(page.context())) return;
  // Not a script element: the security policy rightly forbids those.
  await page.evaluate(`${AXE}; undefined`);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`);
  assert.deepEqual(found, [], `${name}: axe finds violations`);
}

export async function picture(page, name, options = {}) {
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true, animations: "disabled", ...options });
}
