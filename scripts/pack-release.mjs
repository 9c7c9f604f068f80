import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { archiveName, RELEASE_FOLDER, SUMS, sha256 } from './release-files.mjs'
import { unreleasedProblems } from './release-version.mjs'
import { mustRun, ScriptFailure } from './run.mjs'
import { writeSbom } from './sbom.mjs'
import { build } from './turbo.mjs'
import { publishedPackages, ROOT } from './workspace.mjs'

/**
 * Packs every package that is published, with its bill of materials beside it and the checksums of all in `SHA256SUMS`. In a workflow that a
 * tag has started, the tag must name the version of the packages, their changelogs must announce it, and they must name the repository: npm refuses
 * provenance otherwise.
 *
 * @param {NodeJS.ProcessEnv} [environment]
 */
export async function packRelease(environment = process.env) {
  const published = publishedPackages()
  const problems = [...releaseProblems(published, environment), ...(await unannounced(environment))]
  if (problems.length > 0) throw new ScriptFailure(problems.join('\n'))
  const folder = RELEASE_FOLDER
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  await build({ packages: ['./packages/*'], quiet: true })
  for (const one of published) {
    await mustRun('pnpm', ['pack', '--pack-destination', folder], { cwd: join(ROOT, one.directory), output: 'capture' })
    await writeSbom(one, join(folder, `${archiveName(one.manifest)}.cdx.json`))
  }
  const lines = readdirSync(folder)
    .toSorted()
    .map((name) => `${sha256(join(folder, name))}  ${name}\n`)
  writeFileSync(join(folder, SUMS), lines.join(''))
  process.stdout.write(lines.join(''))
}

/** @param {NodeJS.ProcessEnv} environment */
async function unannounced(environment) {
  return environment['GITHUB_REF_TYPE'] === 'tag' ? unreleasedProblems() : []
}

/**
 * @param {readonly import('./workspace.mjs').WorkspacePackage[]} published
 * @param {NodeJS.ProcessEnv} environment Of a workflow, where `GITHUB_REF_TYPE` is set.
 * @returns {string[]}
 */
export function releaseProblems(published, environment) {
  const { GITHUB_REF_TYPE: kind, GITHUB_REF_NAME: tag = '', GITHUB_REPOSITORY: repository = '' } = environment
  if (kind !== 'tag') return []
  return published.flatMap(({ directory, manifest }) => {
    const file = `${directory}/package.json`
    const url = typeof manifest.repository === 'object' ? (manifest.repository.url ?? '') : (manifest.repository ?? '')
    return [
      ...(tag === `v${manifest.version}` ? [] : [`${file}: has version ${manifest.version}, the tag is ${tag}`]),
      ...(url.replace(/\.git$/, '').endsWith(`/${repository}`)
        ? []
        : [`${file}: "repository" must name ${repository}: npm compares it with the provenance`]),
    ]
  })
}
