import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokerUrl } from './broker-url.js'

const run = promisify(execFile)
const PACKAGES = fileURLToPath(new URL('../..', import.meta.url))

/** A service as a user writes it. It knows no transport: the environment decides. */
const SERVICE = `
import { openTransport, PRODUCERS } from '@streamswitch/core'
const transport = await openTransport()
const loop = transport.consumer('installed-app', { group: 'service' })
const received = new Promise((resolve) => loop.handle((message) => resolve(message.value)))
const running = loop.run()
await loop.init()
await transport.producer('installed-app').send({ hello: 'world' })
console.log(JSON.stringify({ transport: transport.name, received: await received, installed: Object.keys(PRODUCERS) }))
await transport.admin.deleteTopic(transport.topicSpec('installed-app'))
await transport.close()
await running
`

/** Without what the workspace puts there: an application knows nothing of it. */
function environment(variables: Record<string, string>): NodeJS.ProcessEnv {
  const { NODE_PATH: _workspace, ...rest } = process.env
  return { ...rest, ...variables }
}

describe('an application with core and this adapter only', () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'streamswitch-app-'))
    for (const name of ['core', 'redis'])
      await run('pnpm', ['pack', '--pack-destination', folder], { cwd: join(PACKAGES, name) })
    const archives = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
    expect(archives).toHaveLength(2)
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
    await run(
      'npm',
      ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...archives.map((name) => `./${name}`)],
      { cwd: folder, env: environment({}) },
    )
    await writeFile(join(folder, 'service.js'), SERVICE)
  }, 120_000)

  afterAll(() => rm(folder, { recursive: true, force: true }))

  const start = (variables: Record<string, string>) =>
    run(process.execPath, ['service.js'], { cwd: folder, env: environment(variables) })

  it('runs on redis, chosen by a variable, and loads no other driver', async () => {
    const { stdout, stderr } = await start({
      STREAMSWITCH_URL: brokerUrl,
      STREAMSWITCH_PREFIX: `t${Date.now().toString(36)}-`,
    })
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual({ transport: 'redis', received: { hello: 'world' }, installed: ['redis'] })
    const installed = await readdir(join(folder, 'node_modules'))
    for (const driver of ['kafkajs', 'amqplib', 'rabbitmq-stream-js-client', 'fastify', 'undici'])
      expect(installed).not.toContain(driver)
  })

  it('fails before any I/O with the package to install when the variable names another transport', async () => {
    const failure = await start({ STREAMSWITCH_URL: 'kafka://127.0.0.1:9' }).catch((error: { stderr: string }) => error)
    expect((failure as { stderr: string }).stderr).toContain(
      "'kafka://' needs the package @streamswitch/kafka, which is not installed: run 'npm install @streamswitch/kafka'",
    )
  })
})
