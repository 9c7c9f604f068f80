import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { CoverageGuide } from '../src/fuzz/coverage.js'
import { fuzz } from '../src/fuzz/fuzz.js'
import type { FuzzTarget } from '../src/fuzz/target.js'
import { branches } from './support/branches.js'

const SEED = Buffer.from('0004abcd0002ef', 'latin1')

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-fuzz-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function target(decode: FuzzTarget['decode'], limits: FuzzTarget['limits'] = {}): FuzzTarget {
  return { name: 'planted', decode, declares: (error) => error instanceof RangeError, limits }
}

function found(decode: FuzzTarget['decode'], limits?: FuzzTarget['limits']) {
  const settings = {
    seed: 1,
    executions: 3_000,
    seeds: [SEED],
    folder: temporaryFolder(),
    minimiseMs: 1_000,
    maxFindings: 1,
  }
  return fuzz(target(decode, limits), settings).then((report) => report.found)
}

test('a decoder that keeps its promises has no findings', async () => {
  expect(await found((bytes) => bytes.readUInt8(5))).toEqual([])
})

test.each<[what: string, kind: string, decode: FuzzTarget['decode'], limits?: FuzzTarget['limits']]>([
  ['an undeclared error', 'error', (bytes) => (bytes[0] === 0xff ? (undefined as unknown as Buffer).length : 0)],
  [
    'an undeclared rejection',
    'error',
    async (bytes) => (bytes[0] === 0xff ? (undefined as unknown as Buffer).length : 0),
  ],
  [
    'a stack overflow, though its class is declared',
    'error',
    function nested(bytes: Buffer, at = 0): unknown {
      return at < 20_000 && bytes.length > 8 ? [nested(bytes, at + 1)] : at
    },
  ],
  [
    'an array of a length that was made up',
    'output',
    (bytes) => new Array<number>(bytes.readUInt16BE(0) * 16).fill(0),
    { baseBytes: 100_000 },
  ],
  [
    'a buffer of a length that was made up',
    'allocation',
    (bytes) => void Buffer.alloc(bytes.readUInt16BE(0) * 16),
    { baseBytes: 100_000 },
  ],
  [
    'copying all that was read for each part',
    'allocation',
    (bytes) => {
      let read = Buffer.alloc(0)
      for (let at = 0; at < bytes.length; at += 1) read = Buffer.concat([read, bytes.subarray(at, at + 1)])
    },
    { baseBytes: 10_000, maxInputBytes: 2_000 },
  ],
  [
    'work that grows with a number in the input',
    'work',
    (bytes) => {
      const begun = process.cpuUsage()
      while (bytes[0] === 0xff && process.cpuUsage(begun).user < 40_000);
    },
    { cpuMs: 5 },
  ],
  [
    'a rejection that nobody waits for',
    'rejection',
    (bytes) => void (bytes[0] === 0xff ? Promise.reject(new Error('planted')) : undefined),
  ],
])('%s is found', async (_what, kind, decode, limits) => {
  const all = await found(decode, limits)
  expect(all.map(({ finding }) => finding.kind)).toContain(kind)
})

test('what is found is made as small as it can be', async () => {
  const [one] = await found((bytes) => {
    if (bytes.includes(0xff) && bytes.length > 3) throw new Error('planted')
  })
  expect(one?.input.length).toBe(4)
  expect([...(one?.input ?? [])].filter((byte) => byte !== 0)).toEqual([0xff])
})

test('a seed repeats its inputs', async () => {
  const inputsOf = async (seed: number): Promise<string[]> => {
    const inputs: string[] = []
    await fuzz(
      target((bytes) => void inputs.push(bytes.toString('hex'))),
      { seed, executions: 300, seeds: [SEED], folder: temporaryFolder() },
    )
    return inputs
  }
  const first = await inputsOf(1)
  expect(await inputsOf(1)).toEqual(first)
  expect(await inputsOf(2)).not.toEqual(first)
  expect(new Set(first).size).toBeGreaterThan(100)
})

test('of many inputs, those that run new code are told from the others', async () => {
  const guide = new CoverageGuide((url) => url.includes('/branches.'))
  onTestFinished(() => guide.stop())
  branches(1)
  expect(guide.add()).toBe(true)
  branches(2)
  guide.add()
  const before = guide.state
  const run = async (value: number): Promise<void> => void branches(value)
  for (const value of [3, 4, 50, 5, 60, 200, 6]) await run(value)
  expect(guide.add()).toBe(true)
  expect((await guide.attribute([3, 4, 50, 5, 60, 200, 6], before, run)).fresh).toEqual([50, 200])
})

test('an input that is never decoded ends the process, and is kept', async () => {
  const path = join(temporaryFolder(), 'hang.bin')
  const child = spawn(process.execPath, [join(import.meta.dirname, 'support/endless-decoder.mjs'), path], {
    stdio: 'ignore',
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
  expect(readFileSync(path, 'latin1')).toBe('endless')
})
