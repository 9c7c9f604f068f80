import { type OptionInput, type OptionValues, option, StreamError, type TransportUrl } from '@streamswitch/core/driver'

/** Options of the transport. */
export const filesFields = {
  /** The folder that holds the topics. It must exist: a folder that is missing may be a disk that isn't mounted. Stands in the URL as its path. */
  folder: option.text({ default: '/var/lib/streamswitch' }),
  /** How long a member or a writer that has died keeps what it held, in milliseconds. */
  leaseMs: option.integer({ default: 10_000, min: 500, max: 600_000 }),
  /** How often logs and groups are looked at where the file system tells of no change, in milliseconds. */
  pollMs: option.integer({ default: 250, min: 10, max: 60_000 }),
  /** Largest payload, in bytes. */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1, max: 1024 * 1024 * 1024 }),
}

/** What a user may give in `openTransport(url, { options })`. */
export type FilesOptions = OptionInput<typeof filesFields>

/** The options as the drivers get them. */
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
