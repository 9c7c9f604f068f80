// What a package must have before it is published, by its packed manifest and the files of its archive.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A README shorter than this says nothing. */
const MIN_README_CHARACTERS = 600

/**
 * @typedef {object} RootManifest
 * @property {string} license
 * @property {object} bugs
 * @property {object} engines
 * @property {{ type: string, url: string }} repository
 */

/**
 * @param {RootManifest} root The root's manifest: its `repository`, `bugs` and `homepage` are those of every package.
 * @param {string} directory The package's folder from the root: `packages/core`.
 */
export function expectedFields(root, directory) {
  const page = root.repository.url.replace(/^git\+/, '').replace(/\.git$/, '')
  return {
    license: root.license,
    homepage: `${page}/tree/main/${directory}#readme`,
    bugs: root.bugs,
    repository: { ...root.repository, directory },
    engines: root.engines,
    publishConfig: { access: 'public' },
  }
}

/**
 * @param {string} folder The unpacked archive.
 * @param {readonly string[]} files Its files, relative to it.
 * @param {Record<string, unknown>} expected See `expectedFields`.
 * @returns {string[]} What is wrong, a line each.
 */
export function problemsOf(folder, files, expected) {
  /** @type {string[]} */
  const problems = []
  const read = (/** @type {string} */ file) => readFileSync(join(folder, file), 'utf8')
  const manifest = JSON.parse(read('package.json'))
  for (const [field, value] of Object.entries(expected)) {
    if (JSON.stringify(manifest[field]) === JSON.stringify(value)) continue
    problems.push(`package.json: "${field}" must be ${JSON.stringify(value)}, got ${JSON.stringify(manifest[field])}`)
  }
  for (const field of ['description', 'keywords']) {
    if (!(manifest[field]?.length > 0)) problems.push(`package.json: "${field}" is missing`)
  }
  for (const file of ['README.md', 'LICENSE']) if (!files.includes(file)) problems.push(`${file} is missing`)
  if (files.includes('README.md')) problems.push(...readmeProblems(manifest.name, read('README.md')))
  for (const file of files.filter((name) => name.endsWith('.d.ts'))) {
    if (read(file).includes('@internal'))
      problems.push(`${file} has an @internal member that the compiler didn't strip`)
  }
  for (const file of files.filter((name) => name.endsWith('.js.map'))) {
    const { sources, sourcesContent } = JSON.parse(read(file))
    if (sourcesContent?.length !== sources.length) problems.push(`${file} has no sources`)
  }
  return problems
}

/**
 * @param {string} name
 * @param {string} readme
 */
function readmeProblems(name, readme) {
  const problems = []
  if (!readme.startsWith(`# ${name}\n`)) problems.push(`README.md must begin with "# ${name}"`)
  if (readme.length < MIN_README_CHARACTERS) problems.push('README.md must say what the package is and how to use it')
  for (const [, target = ''] of readme.matchAll(/\]\(([^)]*)\)/g)) {
    if (target.startsWith('https://')) continue
    problems.push(`README.md: link '${target}' must be absolute: registries show the page elsewhere`)
  }
  return problems
}
