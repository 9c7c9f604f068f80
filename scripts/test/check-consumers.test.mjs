import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadProblems, typeProblems, writeProject } from '../check-consumers.mjs'
import { ROOT } from '../workspace.mjs'

/**
 * A project with one package in it.
 *
 * @param {string} code
 * @param {string} [types]
 */
function plant(code, types = 'export declare const one: number\n') {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-planted-consumer-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'planted'), { recursive: true })
  mkdirSync(join(modules, '@types'))
  symlinkSync(join(ROOT, 'scripts/node_modules/@types/node'), join(modules, '@types/node'), 'junction')
  const exports = { '.': { types: './index.d.ts', default: './index.js' } }
  writeFileSync(
    join(modules, 'planted/package.json'),
    JSON.stringify({ name: 'planted', version: '1.0.0', type: 'module', exports }),
  )
  writeFileSync(join(modules, 'planted/index.js'), code)
  writeFileSync(join(modules, 'planted/index.d.ts'), types)
  writeProject(folder, ['planted'])
  // What services write is for the real packages.
  writeFileSync(join(folder, 'service.ts'), "import { one } from 'planted'\nexport const two: number = one\n")
  return folder
}

describe('loading', () => {
  test('a module that only exports has no problem', async () => {
    expect(await loadProblems(plant('export const one = 1\n'), ['planted'])).toEqual([])
  })

  test.each([
    ['a listener', "process.on('SIGTERM', () => {})", /adds listeners: SIGTERM \(1\)\n/],
    ['an environment variable', "process.env.PLANTED = 'secret'", /adds environment: PLANTED\n/],
    ['a global', 'globalThis.planted = 1', /adds globals: planted\n/],
    ['a socket', "import { createServer } from 'node:net'\ncreateServer().listen(0)", /adds resources: TCP\w+\n/],
    ['a timer', 'setInterval(() => {}, 1_000)', /adds resources: Timeout\nthe process would not end\n/],
    ['output', "console.log('hello')", /hello/],
    ['an error', "throw new Error('planted')", /planted/],
  ])('%s is a problem, by import and by require()', async (_what, code, problem) => {
    const problems = await loadProblems(plant(`${code}\nexport const one = 1\n`), ['planted'])
    expect(problems).toEqual([expect.stringMatching(/^by import/), expect.stringMatching(/^by require/)])
    for (const text of problems) expect(text).toMatch(problem)
  })
})

describe('types', () => {
  /** @param {string} types */
  const problems = (types) =>
    typeProblems(plant('export const one = 1\n', types), [{ compiler: 'newest', resolution: 'nodenext' }])

  test('that are sound have no problem', async () => {
    expect(await problems('export declare const one: number\n')).toEqual([])
  })

  test('with an error that skipLibCheck would hide are a problem', async () => {
    const types =
      'export declare class A implements B {}\ninterface B {\n  b: string\n}\nexport declare const one: number\n'
    expect(await problems(types)).toEqual([
      expect.stringMatching(/^nodenext, newest TypeScript:\nnode_modules\/planted\/index\.d\.ts\(1,22\): error TS2420/),
    ])
  })
})
