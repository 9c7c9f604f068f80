import { mergeConfig } from 'vitest/config'
import { sharedTestConfig } from '../../vitest.shared.js'

export default mergeConfig(sharedTestConfig, { test: { globalSetup: 'test/support/write-snippets.ts' } })
