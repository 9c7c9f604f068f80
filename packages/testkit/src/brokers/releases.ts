import type { BrokerName } from './definition.js'
import { BrokerError } from './errors.js'
import { compareVersions, matchesVersion } from './versions.js'

/** Debian's suites that brokers are taken from, the most stable first. */
const SUITES = ['bookworm', 'trixie', 'forky', 'sid', 'experimental'] as const
export type DebianSuite = (typeof SUITES)[number]

/** The suite of the versions that are installed where none is asked for. */
export const DEFAULT_SUITE: DebianSuite = 'trixie'

/** A version that a suite of Debian had when this table was last changed. All but bookworm and trixie move on. */
interface DebianRelease {
  readonly suite: DebianSuite
  readonly version: string
}

const DEBIAN: Readonly<Record<Exclude<BrokerName, 'kafka'>, readonly DebianRelease[]>> = {
  redis: [
    { suite: 'bookworm', version: '7.0.15' },
    { suite: 'trixie', version: '8.0.2' },
    { suite: 'forky', version: '8.0.6' },
    { suite: 'sid', version: '8.0.6' },
    { suite: 'experimental', version: '8.6.3' },
  ],
  valkey: [
    { suite: 'trixie', version: '8.1.1' },
    { suite: 'forky', version: '9.1.2' },
    { suite: 'sid', version: '9.1.2' },
  ],
  rabbitmq: [
    { suite: 'trixie', version: '4.0.5' },
    { suite: 'forky', version: '4.3.6' },
    { suite: 'sid', version: '4.3.6' },
  ],
}

/** Versions of Kafka on Maven Central. */
const KAFKA = ['3.9.0', '3.9.1', '3.9.2', '4.0.0', '4.1.1', '4.2.0', '4.3.0', '4.3.1', '4.4.0'] as const
const DEFAULT_KAFKA = '4.3.1'

/** What is to be installed from Debian. */
export interface DebianChoice {
  readonly suite: DebianSuite
  /** The version or series that the suite must have. Undefined: whatever it has. */
  readonly version: string | undefined
}

/**
 * Where a broker's version comes from. `wanted` is a version (`8.0.2`), a series (`8.0`, `8`: its newest version) or a suite of Debian
 * (`forky`: whatever it has). Default: the suite `trixie`. Throws NOT_FOUND, listing what there is.
 */
export function chooseDebian(name: Exclude<BrokerName, 'kafka'>, wanted: string | undefined): DebianChoice {
  if (wanted === undefined) return { suite: DEFAULT_SUITE, version: undefined }
  const releases = DEBIAN[name]
  const suite = releases.find((release) => release.suite === wanted)?.suite
  if (suite !== undefined) return { suite, version: undefined }
  const matching = releases.filter(({ version }) => matchesVersion(version, wanted))
  const newest = matching.toSorted(
    (a, b) => compareVersions(b.version, a.version) || SUITES.indexOf(a.suite) - SUITES.indexOf(b.suite),
  )[0]
  if (newest === undefined) throw unknownVersion(name, wanted)
  return { suite: newest.suite, version: wanted }
}

/** As `chooseDebian`, for Kafka: resolves a version or a series (its newest version). Default 4.3.1. */
export function chooseKafka(wanted: string | undefined): string {
  if (wanted === undefined) return DEFAULT_KAFKA
  const newest = KAFKA.filter((version) => matchesVersion(version, wanted)).at(-1)
  if (newest === undefined) throw unknownVersion('kafka', wanted)
  return newest
}

/** All versions of a broker that can be had, with the suite where one is meant: `8.0.6 (forky, sid)`. */
export function listReleases(name: BrokerName): readonly string[] {
  if (name === 'kafka') return KAFKA
  const versions = [...new Set(DEBIAN[name].map(({ version }) => version))]
  return versions.map((version) => {
    const suites = DEBIAN[name].filter((release) => release.version === version).map(({ suite }) => suite)
    return `${version} (${suites.join(', ')})`
  })
}

function unknownVersion(name: BrokerName, wanted: string): BrokerError {
  return new BrokerError(
    'NOT_FOUND',
    `${name}@${wanted} can't be had; there are ${listReleases(name).join(', ')}. A series such as ${example(name)} is its newest version.`,
  )
}

function example(name: BrokerName): string {
  const newest = name === 'kafka' ? DEFAULT_KAFKA : (DEBIAN[name].at(-1)?.version ?? '')
  return `${name}@${newest.split('.').slice(0, 2).join('.')}`
}
