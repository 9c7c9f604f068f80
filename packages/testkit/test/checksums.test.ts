import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ARCHIVE_CHECKSUMS } from '../src/brokers/archive-checksums.js'
import { checkArchives } from '../src/brokers/install-maven.js'
import { PYTHON_REQUIREMENTS } from '../src/brokers/python-requirements.js'
import { listReleases } from '../src/brokers/releases.js'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('what the launcher downloads', () => {
  it('is compared with recorded checksums: archives that differ are refused by name, unknown ones are named', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'streamswitch-checksums-test-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const recorded = `\n${sha256('a')}  a-1.0.jar\n${sha256('b')}  b-1.0.jar\n`
    writeFileSync(join(folder, 'a-1.0.jar'), 'a')
    writeFileSync(join(folder, 'b-1.0.jar'), 'b')
    expect(await checkArchives(folder, recorded)).toEqual([])
    writeFileSync(join(folder, 'c-1.0.jar'), 'c')
    expect(await checkArchives(folder, recorded)).toEqual(['c-1.0.jar'])
    writeFileSync(join(folder, 'b-1.0.jar'), 'B')
    await expect(checkArchives(folder, recorded)).rejects.toMatchObject({
      name: 'BrokerError',
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/^not what they should be, by their SHA-256: b-1\.0\.jar\./),
    })
  })

  it('has a recorded checksum for the archives of every version of Kafka that can be asked for', () => {
    for (const version of listReleases('kafka'))
      for (const artifact of ['kafka_2.13', 'kafka-clients', 'kafka-tools'])
        expect(ARCHIVE_CHECKSUMS).toMatch(new RegExp(`^[0-9a-f]{64} {2}${artifact}-${version}\\.jar$`, 'm'))
  })

  it('is pinned with a checksum in each line that names a Python package', () => {
    const entries = PYTHON_REQUIREMENTS.trim().split(/\n(?=\S)/)
    expect(entries.length).toBeGreaterThan(8)
    for (const entry of entries)
      expect(entry).toMatch(/^[a-z0-9-]+==[\w.]+[^\n]*( \\\n {4}--hash=sha256:[0-9a-f]{64})+$/)
  })
})
