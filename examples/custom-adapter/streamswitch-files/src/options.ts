import { type OptionInput, type OptionValues, option, StreamError, type TransportUrl } from '@streamswitch/core/driver'

/** Options of the transport. */
export const filesFields = {
  /**
   * The folder that holds the topics. It must exist: a missing folder may be a disk that isn't mounted. In a URL it is
   * the path.
   */
  folder: option.text({ default: '/var/lib/streamswitch' }),
  /** Time after which what a dead member or writer held becomes free, in milliseconds. */
  leaseMs: option.integer({ default: 10_000, min: 500, max: 600_000 }),
  /** How often logs and groups are polled if the file system reports no change, in milliseconds. */
  pollMs: option.integer({ default: 250, min: 10, max: 60_000 }),
  /** Maximum payload, in bytes. */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1, max: 1024 * 1024 * 1024 }),
}

/** The options that a user may pass to `openTransport(url, { options })`. */
export type FilesOptions = OptionInput<typeof filesFields>

/** The options as the drivers receive them. */
export type FilesSettings = OptionValues<typeof filesFields>

/** `files:///absolute/folder`. Throws INVALID_ARGUMENT for a URL with a host, a user or a password: files have none. */
export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  if (url.hosts.length > 0 || url.username !== undefined || url.password !== undefined) {
    throw new StreamError(
      'the URL names a host or a user, and files have none: write files:///absolute/folder, with three slashes',
      { code: 'INVALID_ARGUMENT', transport: 'files' },
    )
  }
  return url.path === '' ? {} : { folder: `/${url.path}` }
}
