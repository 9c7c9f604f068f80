import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { run } from '../run.mjs'

const SLEEP = 'setInterval(() => {}, 1_000)'

test('a program that runs for too long is killed with what it has started, and named', async () => {
  const script = `
    const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(SLEEP)}])
    console.log(child.pid)
    ${SLEEP}`
  /** @type {Error & { output?: string }} */
  const failure = await run(process.execPath, ['-e', script], { output: 'capture', timeoutMs: 5_000 }).catch(
    (error) => error,
  )
  expect(failure.message).toMatch(/ran for longer than 5000 ms and was killed\n\d+\n$/)
  const child = Number(failure.message.trim().split('\n').at(-1))
  await expect.poll(() => isRunning(child)).toBe(false)
})

test('a program that ends in time is not touched by its limit', async () => {
  expect(await run(process.execPath, ['-e', 'console.log(1)'], { output: 'capture', timeoutMs: 60_000 })).toEqual({
    code: 0,
    output: '1\n',
  })
})

test('what a program leaves behind neither holds the output nor lives on', async () => {
  const script = `
    import { run } from ${JSON.stringify(new URL('../run.mjs', import.meta.url).href)}
    const leave = \`require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(SLEEP)}], { stdio: 'inherit', detached: true }).unref()\`
    await run(process.execPath, ['-e', leave + '; console.log(1)'], { output: 'forward', endLeftovers: true })`
  const { output } = await run(process.execPath, ['--input-type=module', '-e', script], { output: 'capture' })
  expect(output).toMatch(/^1\nleft running, now killed: .*node -e setInterval/)
})

test('what is printed last is forwarded whole', async () => {
  const script = `
    import { run } from ${JSON.stringify(new URL('../run.mjs', import.meta.url).href)}
    await run(process.execPath, ['-e', 'process.stdout.write("x".repeat(1_000_000))'], { output: 'forward' })`
  const { output } = await run(process.execPath, ['--input-type=module', '-e', script], { output: 'capture' })
  expect(output).toHaveLength(1_000_000)
})

/**
 * A killed process whose parent is gone too may stay as a zombie where nothing reaps it.
 *
 * @param {number} pid
 */
function isRunning(pid) {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
