import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Runs the fault suite of `no-stand.mjs`, which is no test of its own. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  test: { include: ['no-stand.mjs'], pool: 'forks', retry: 0 },
})
