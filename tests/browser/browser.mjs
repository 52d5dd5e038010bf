// Chromium, and what is held against every page: no complaint of the browser, no request to another host, nothing wider than the window,
// nothing that moves by itself, no violation that axe finds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "sower-peers", "npm");
/** Finds what `tests/setup browser` has installed. */
export const require = createRequire(join(CACHE, "package.json"));
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
      await context.addInitScript(watchForShifts);
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
  page.on("request", (request) => {
    const { protocol, hostname, href } = new URL(request.url());
    if (protocol.startsWith("http") && !["127.0.0.1", "localhost"].includes(hostname)) complaints.get(page).push(`it asks another host: ${href}`);
  });
  page.on("pageerror", (error) => complaints.get(page).push(String(error)));
  page.on("console", (message) => {
    // Chromium logs every answer of 400 and above; those are looked at by the tests themselves.
    const isStatus = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isStatus) complaints.get(page).push(message.text());
  });
}

/** Runs in each page: keeps what moved although nobody had just typed or clicked, for the page that follows as well. */
function watchForShifts() {
  globalThis.shifts = [];
  addEventListener("pagehide", () => { if (globalThis === globalThis.top) sessionStorage.shifts = JSON.stringify(globalThis.shifts); });
  const name = ({ node }) => (node?.outerHTML ?? node?.textContent ?? "something unseen").slice(0, 80);
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
      // What lies inside the controls of a player, which are the browser's, is not named.
      const isOurs = shift.sources.some(({ node }) => node);
      if (isOurs && !shift.hadRecentInput) globalThis.shifts.push({ score: shift.value, moved: shift.sources.map(name) });
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** Takes a picture of a page and holds it against what every page owes. */
export async function check(page, name) {
  // Before the picture, for which the window grows.
  const shifts = scriptless.has(page.context()) ? [] : await page.evaluate(async () => {
    // What the last change moved is known once it was drawn.
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    return globalThis.shifts;
  });
  await picture(page, name);
  assert.deepEqual(shifts, [], `${name}: the page moves by itself`);
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

/** Presses Tab until the focus is where it is wanted, and holds every stop on the way against what a stop owes. */
export async function tabTo(page, target) {
  const wanted = await target.elementHandle();
  const stops = [];
  while (!(await wanted.evaluate((element) => element === document.activeElement))) {
    assert.ok(stops.length < 300, `the keyboard does not come to ${target}:\n${stops.join("\n")}`);
    await page.keyboard.press("Tab");
    stops.push(await lookAtStop(page));
  }
}

/** Goes through a page by Tab, to its end: every stop can be seen, none holds the keyboard, and none is left out. */
export async function tabThrough(page, name) {
  const wanted = await page.evaluate(() => {
    const isStop = (element) => element.checkVisibility({ visibilityProperty: true }) && element.tabIndex >= 0
      // Of radio buttons, the chosen one stands for all.
      && !(element.type === "radio" && !element.checked);
    const stops = Array.from(document.querySelectorAll("a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, [tabindex]"));
    globalThis.unvisited = new Set(stops.filter(isStop));
    return globalThis.unvisited.size;
  });
  for (let stop = 0; stop < wanted; stop += 1) {
    await page.keyboard.press("Tab");
    const seen = await lookAtStop(page);
    assert.ok(await page.evaluate(() => globalThis.unvisited.delete(document.activeElement)), `${name}: the keyboard comes twice to ${seen}`);
  }
}

/** The stop of the keyboard where it is now, which has to be in the window, uncovered, and outlined. */
async function lookAtStop(page) {
  const { stop, problem } = await page.evaluate(() => {
    const element = document.activeElement;
    const stop = element.outerHTML.slice(0, 120);
    if (element === document.body) return { stop, problem: "nothing has the focus" };
    // The field that opens the file chooser lies unseen over its label.
    const shown = getComputedStyle(element).opacity === "0" ? element.labels[0] : element;
    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
    if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) return { stop, problem: "it is not outlined" };
    // Of a link that is broken over lines, one line is enough.
    const isSeen = Array.from(shown.getClientRects()).some(({ left, top, width, height }) => {
      const [x, y] = [left + width / 2, top + Math.min(height, innerHeight) / 2];
      const there = document.elementFromPoint(x, y);
      return there && (shown.contains(there) || element.contains(there) || there.contains(shown));
    });
    return { stop, problem: isSeen ? null : "it is not in sight" };
  });
  assert.equal(problem, null, `a stop of the keyboard: ${stop}`);
  return stop;
}
