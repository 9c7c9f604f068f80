import { defineConfig } from 'vitest/config'

/** For editors and `pnpm vitest`: all packages at once. The scripts run each package through its own configuration. */
export default defineConfig({
  test: { projects: ['packages/*', 'examples/*', '!examples/custom-adapter', 'benchmarks', 'scripts'] },
})
