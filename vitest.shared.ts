import { defineConfig } from 'vitest/config'

/**
 * What every package's `vitest.config.ts` starts from. A test that hangs fails after a minute, and nothing is
 * retried: a test that passes at the second attempt has found a defect. Suites run in child processes, since fault
 * tests send signals. The JSON report of each package is what `scripts/summarise-tests.mjs` adds up.
 */
export const sharedTestConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    retry: 0,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    allowOnly: false,
    reporters: ['default', 'json'],
    outputFile: { json: 'test-results/vitest.json' },
  },
})
