import { join } from 'node:path'

/** Within the package, so that the snippets find what it has installed. */
export const SNIPPETS = join(import.meta.dirname, '..', '..', 'test-results', 'snippets')
export const OUTPUT = join(SNIPPETS, 'out')
