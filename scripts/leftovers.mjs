import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

const VARIABLE = 'TEST_RUN_MARK'
const GRACE_MS = 10_000
const POLL_MS = 100

/**
 * A variable of the environment by which a program's descendants are found again, also those whose parents have ended.
 *
 * @returns {Record<string, string>}
 */
export function newMark() {
  return { [VARIABLE]: randomUUID() }
}

/**
 * Kills the processes that have a mark in their environment and don't end soon, and prints their command lines. Does nothing
 * if there is no `/proc`.
 *
 * @param {Record<string, string>} mark
 */
export async function endLeftovers(mark) {
  const [entry] = Object.entries(mark)
  if (entry === undefined) return
  const variable = entry.join('=')
  // What a suite has started may still be cleaning up after it.
  const deadline = performance.now() + GRACE_MS
  while (performance.now() < deadline && processesWith(variable).length > 0)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  for (const { pid, command } of processesWith(variable)) {
    try {
      process.kill(pid, 'SIGKILL')
      process.stdout.write(`left running, now killed: ${command}\n`)
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** @param {string} variable */
function processesWith(variable) {
  return processIds().flatMap((pid) => {
    const environment = readProcessFile(pid, 'environ')
    if (!environment.split('\0').includes(variable)) return []
    return [{ pid, command: readProcessFile(pid, 'cmdline').replaceAll('\0', ' ').trim() }]
  })
}

function processIds() {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0)
  } catch {
    return []
  }
}

/**
 * @param {number} pid
 * @param {string} name
 */
function readProcessFile(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    // It has ended, or is somebody else's.
    return ''
  }
}
