import { expect, it } from 'vitest'
import { compileSnippets, snippetsOf } from './snippets.js'

/** Those that a service installs. The snippet of the testkit is the conformance test of `@streamswitch/memory`. */
const PACKAGES = ['memory', 'core', 'http', 'redis', 'kafka', 'amqp', 'rabbitmq-stream']

it('the snippets in the READMEs of the packages compile, and the one that needs no broker runs', async () => {
  const snippets = PACKAGES.map((name) => snippetsOf(`packages/${name}/README.md`))
  expect(snippets.map(({ length }) => length)).toEqual(PACKAGES.map(() => 1))
  const run = await compileSnippets('package-readmes', snippets.flat())
  expect(await run(PACKAGES.indexOf('memory'))).toBe('charged 12\n')
}, 60_000)
