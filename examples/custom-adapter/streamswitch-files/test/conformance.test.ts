import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { conformance } from '@streamswitch/testkit'
import { afterAll } from 'vitest'
import adapter from '../src/index.js'
import { foreignLog } from './foreign-log.js'

const folder = mkdtempSync(join(tmpdir(), 'streamswitch-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))

const maxPayloadBytes = 256 * 1024

conformance({
  adapter,
  url: () => `files://${folder}`,
  openOptions: { options: { maxPayloadBytes } },
  limits: { maxPayloadBytes },
  shortTimeouts: { transport: { leaseMs: 1_000 }, handlerMs: 3_000 },
  foreign: foreignLog(folder),
  absentUrl: 'files:///there-is/no-such-folder',
})
