// `node load.cjs import|require MODULE...`: loads each, and prints what loading changed in the process, which must be nothing.
const { setTimeout: pause } = require('node:timers/promises')

/** Long enough for what loading itself leaves to be cleared away. */
const SETTLED_MS = 20
/** How long the process may go on when everything is loaded: nothing should keep it. */
const END_MS = 2_000

/** What is there now, as lists that can be compared. Variables are named only: their values may be secrets. */
function snapshot() {
  const listened = process.eventNames().filter((name) => !['newListener', 'removeListener'].includes(String(name)))
  return {
    listeners: listened.map((name) => `${String(name)} (${process.listenerCount(name)})`),
    globals: Object.getOwnPropertyNames(globalThis),
    environment: Object.keys(process.env),
    resources: process.getActiveResourcesInfo(),
    directory: [process.cwd()],
  }
}

/**
 * @param {readonly string[]} before
 * @param {readonly string[]} after
 * @returns {string[]} What is new, as often as it is.
 */
function added(before, after) {
  const rest = [...before]
  return after.filter((one) => {
    const index = rest.indexOf(one)
    if (index >= 0) rest.splice(index, 1)
    return index < 0
  })
}

/** @param {string[]} args */
async function load([way, ...modules]) {
  // Node.js makes these when they are first looked at.
  void process.stdout.isTTY
  void process.stderr.isTTY
  for (const name of modules) {
    await pause(SETTLED_MS)
    const before = snapshot()
    if (way === 'import') await import(name)
    else require(name)
    await pause(SETTLED_MS)
    for (const [what, after] of Object.entries(snapshot())) {
      const changes = added(before[/** @type {keyof typeof before} */ (what)], after)
      if (changes.length > 0) console.log(`${name}: adds ${what}: ${changes.join(', ')}`)
    }
  }
  setTimeout(() => {
    console.log('the process would not end')
    process.exit(1)
  }, END_MS).unref()
}

load(process.argv.slice(2)).catch((error) => {
  console.log(error)
  process.exitCode = 1
})
