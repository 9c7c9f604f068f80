import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PACKAGES, runMatrix } from '../brokers-matrix.mjs'
import { isKnownToFail, NEWEST } from '../ci-brokers.mjs'
import { CASES } from '../newest-brokers-cases.mjs'

/** Cases that a transport doesn't have, since it declares no history. */
const FEWER = { amqp: 16 }

describe('the newest version of each broker', () => {
  for (const spec of NEWEST) {
    const transports = (PACKAGES[spec.split('@')[0] ?? ''] ?? [])
      .map((folder) => basename(folder))
      .filter((transport) => !isKnownToFail(transport, spec))
    if (transports.length === 0) continue
    it(`${spec} passes the cases that are likely to notice, with ${transports.join(' and ')}`, {
      timeout: 300_000,
    }, async () => {
      const rows = await runMatrix({ brokers: [spec], transports, subset: true })
      expect(
        rows.flatMap(({ transport, failures }) => failures.map((one) => `${transport}: ${one.title}: ${one.reason}`)),
      ).toEqual([])
      for (const { transport, cases } of rows)
        expect(cases, transport).toBe(/** @type {Record<string, number>} */ (FEWER)[transport] ?? CASES.length)
      expect(rows).toHaveLength(transports.length)
    })
  }
})
