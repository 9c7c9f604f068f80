import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { effectivelyOnce } from '@streamswitch/testkit'
import { afterAll } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'streamswitch-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))

// Members and writers in processes of their own, killed with SIGKILL in the middle of their work.
effectivelyOnce({
  name: 'files',
  adapter: new URL('../dist/index.js', import.meta.url).href,
  url: `files://${folder}`,
  options: { leaseMs: 2_000 },
})
