import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FaultRow } from '@streamswitch/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const VITEST = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
const CONFIG = fileURLToPath(new URL('support/no-stand.config.mjs', import.meta.url))

interface Report {
  readonly success: boolean
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly status: string
      readonly title: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-not-run-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Runs the suite without a stand in a process of its own. */
async function run(stand: 'refused' | 'fails') {
  const report = join(folder, 'report.json')
  const rows = join(folder, 'rows')
  const code = await new Promise<number | string | null | undefined>((resolve) => {
    execFile(
      process.execPath,
      [VITEST, 'run', '--config', CONFIG, '--reporter', 'json', '--outputFile', report],
      { env: { ...process.env, STAND: stand, STREAMSWITCH_RELIABILITY_RESULTS: rows } },
      (error) => resolve(error === null ? 0 : error.code),
    )
  })
  const { success, testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const written = readdirSync(rows).flatMap((name) => JSON.parse(readFileSync(join(rows, name), 'utf8')) as FaultRow[])
  return { code, success, cases: testResults.flatMap(({ assertionResults }) => assertionResults), rows: written }
}

describe('a fault suite that has nothing it may harm', () => {
  test.each([
    ['refused', 'the broker at hand is not ours'],
    ['fails', 'Error: the broker ended before it answered'],
  ] as const)(
    'stand %s: every case fails, with the reason, and none is skipped',
    { timeout: 60_000 },
    async (stand, reason) => {
      const { code, success, cases, rows } = await run(stand)
      expect({ code, success }).toEqual({ code: 1, success: false })
      expect(cases.length).toBeGreaterThan(10)
      for (const { status, title, failureMessages } of cases) {
        expect(status, title).toBe('failed')
        expect(failureMessages.join(), title).toContain(`not run: ${reason}`)
      }
      // Checks without a fault have no number, and no row.
      const faults = cases.map(({ title }) => title).filter((title) => /^\d+: /.test(title))
      expect(rows.map(({ item, fault }) => `${item}: ${fault}`)).toEqual(faults)
      for (const row of rows) expect(row).toMatchObject({ outcome: 'not run', reason })
      // A row without figures: nothing of it may look like a result.
      for (const row of rows) expect(row).not.toHaveProperty('lost')
    },
  )
})
