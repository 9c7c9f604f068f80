import { printable } from '@streamswitch/core/driver'

/** Maximum number of keys named. */
const KEYS_SHOWN = 3

/** Commands whose keys don't come first: number of arguments before them. */
const BEFORE_KEY: Readonly<Record<string, number>> = { XINFO: 1, XGROUP: 1, MEMORY: 1 }

/** A command as ioredis attaches it to the error that the server replied. */
interface FailedCommand {
  readonly name: string
  readonly args: readonly unknown[]
}

/**
 * The ACL rule that a refused command needs: `+xadd` for a command, also one within a script, `~app.orders` for keys.
 * The server names the command but no key: those are taken from the command.
 */
export function missingRight(native: unknown): string {
  const text = native instanceof Error ? native.message : ''
  const refused = /no permissions to run the '([^']+)' command/.exec(text)?.[1]
  if (refused !== undefined) return `+${printable(refused)}`
  const command = commandOf(native)
  if (command === undefined) return 'a key pattern (~…) or a command (+…)'
  const keys = [...new Set(keysOf(command))].map((key) => `~${printable(key)}`)
  const rest = keys.length > KEYS_SHOWN ? ', …' : ''
  const one = keys.length > 1 ? 'one of ' : ''
  return `${one}${keys.slice(0, KEYS_SHOWN).join(', ')}${rest} (keys of ${command.name.toUpperCase()})`
}

function commandOf(native: unknown): FailedCommand | undefined {
  const command =
    native instanceof Error ? (native as { readonly command?: Partial<FailedCommand> }).command : undefined
  if (typeof command?.name !== 'string' || !Array.isArray(command.args)) return undefined
  return { name: command.name, args: command.args as readonly unknown[] }
}

function keysOf({ name, args }: FailedCommand): string[] {
  const texts = args.map(String)
  const upper = name.toUpperCase()
  if (upper === 'EVAL' || upper === 'EVALSHA') return texts.slice(2, 2 + Number(texts[1]))
  const streams = texts.findIndex((text) => text.toUpperCase() === 'STREAMS')
  if (streams >= 0 && /^XREAD/.test(upper))
    return texts.slice(streams + 1, streams + 1 + (texts.length - streams - 1) / 2)
  const first = BEFORE_KEY[upper] ?? 0
  return upper === 'DEL' || upper === 'EXISTS' || upper === 'UNLINK' ? texts : texts.slice(first, first + 1)
}
